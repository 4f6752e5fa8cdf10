"""LoRA tags: `<lora:name:0.8>` as other programs write them, `<lora>name:0.8</lora>` as XML would.

A file's name may hold a comma or a colon: `<lora name="one, another" strength="0.8:0.6"/>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ..messages import Message
from ..scene import Lora
from ..tags import SEPARATORS
from ..words import LORA_ELEMENTS, character_id
from .fields import Reading
from .markup import LORA, Node, Text

_NAMED = re.compile(f"[^{SEPARATORS}]+")
_STRENGTH = re.compile(r"[-+]?(?:[0-9]{1,4}(?:\.[0-9]{0,8})?|\.[0-9]{1,8})")


def take_loras(reading: Reading, node: Node, loras: list[Lora]) -> Node:
    """The node without its LoRAs, which are added to the list; those inside a character stay for that one."""
    content: list[Node | Text] = []
    for part in node.content:
        if isinstance(part, Node) and part.name.lower() in LORA_ELEMENTS:
            loras += _loras_in(reading, part)
        elif isinstance(part, Node) and not character_id(part.name):
            content.append(take_loras(reading, part, loras))
        elif content and isinstance(part, Text) and isinstance(last := content[-1], Text):
            content[-1] = Text(last.words + part.words, last.pieces + part.pieces)  # a bracket may reach over a LoRA
        else:
            content.append(part)
    return replace(node, content=tuple(content)) if len(content) < len(node.content) or node.children else node


def without_loras(reading: Reading, start: int, end: int) -> str:
    """Plain words with spaces where LoRAs stood, which are added to the picture's."""

    def take(match: re.Match[str]) -> str:
        reading.loras += _loras(reading, match.group(1), "", match.start())
        return " " * len(match.group())

    text = reading.source.text
    return text[:start] + LORA.sub(take, text[start:end]) + text[end:]


def _loras_in(reading: Reading, node: Node) -> Iterator[Lora]:
    attributes = {key.lower(): value.strip() for key, value in node.attributes.items()}
    stated = attributes.get("strength", attributes.get("weight", ""))
    if (name := attributes.get("name")) and stated:
        yield _lora(reading, name, stated, node.offset)
    elif name:
        yield _lora(reading, *_parted(name), node.offset)
    for text in node.all_texts:
        yield from _loras(reading, text.words, stated, node.offset)


def _loras(reading: Reading, words: str, stated: str, offset: int) -> Iterator[Lora]:
    """Those of a list; stated: the strength of those that state none."""
    for named in filter(None, map(str.strip, _NAMED.findall(words))):
        name, numbers = _parted(named)
        yield _lora(reading, name, numbers or stated, offset)


def _parted(words: str) -> tuple[str, str]:
    """`name:0.8:0.6` -> the name, and what follows its colon."""
    name, _, numbers = words.replace("：", ":").partition(":")
    return name.strip(), numbers


def _lora(reading: Reading, name: str, stated: str, offset: int) -> Lora:
    """stated: "", a strength, or two of them, `0.8:0.6`, the second for the text encoders."""
    numbers = [part.strip() for part in stated.replace("：", ":").split(":")]
    strengths = [_strength(reading, name, number, offset) for number in numbers[:2]]
    if len(numbers) > 2:
        message = Message(
            'Only two strengths of the LoRA {name} are used; "{text}" is ignored.', name=name, text=numbers[2]
        )
        reading.warn(offset, message)
    strength, text = [*strengths, None, None][:2]
    return Lora(name, 1.0 if strength is None else strength, text)


def _strength(reading: Reading, name: str, number: str, offset: int) -> float | None:
    if _STRENGTH.fullmatch(number):
        return round(float(number), 4)
    if number:
        message = Message('"{text}" is not a strength for the LoRA {name}; 1 is used.', text=number, name=name)
        reading.warn(offset, message)
    return None
