"""Marked-up text -> a tree of nodes that know where they stand.

lxml reads the XML, strictly. What it could only refuse with a shrug, or mend by dropping text, is settled before: one
pass over the text finds the tags, names every mistake with its place, and writes the text again with lone `&`, `<` and
`>` escaped. The tags it found are the elements lxml then finds, in the same order, so every node has its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from lxml import etree

from ..scene import PromptError
from ..words import CHARACTER_ELEMENTS, GENERAL_BLOCK, GENERAL_ELEMENTS, ROOTS, character_id, nearest
from .prompt_text import FORBIDDEN, Source, Warnings

MAX_DEPTH = 16
MAX_ELEMENTS = 2048
MAX_NAME = 64
MAX_ATTRIBUTES = 16
MAX_PLAIN = 4096  # `&` and `<` that are no markup

# https://www.w3.org/TR/xml/#NT-NameStartChar without the colon (prompts have no namespaces), and without the marks
# that Chinese writes beside words: 、。「」 and the full-width forms.
_START = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3005-\u3007\u3021-\u302f\u3031-\u3035\u3038-\ud7ff\uf900-\ufdcf\ufdf0-\ufeff\U00010000-\U000effff"
)
_NAME = rf"[{_START}][{_START}0-9.\-\u00b7]*+"
_TAG = re.compile(rf"<(/?)({_NAME})(?![:：])")
_ATTRIBUTE = re.compile(rf"\s*({_NAME}(?::{_NAME})?)\s*=\s*(?:\"([^\"<]*)\"|'([^'<]*)')")
_TAG_END = re.compile(r"\s*(/?)>")
LORA = re.compile(r"<\s*(?:lora|lyco|locon)\s*:((?:[^<>:\n]*[^<>:\s][^<>:\n]*)(?::[^<>\n]*)?)>", re.IGNORECASE)
_WIDE_TAG = re.compile(rf"＜\s*+[/／]?\s*+({_NAME})\s*+[＞>]|<\s*+[/／]?\s*+({_NAME})\s*+＞")
_SPACED_TAG = re.compile(rf"<(?:\s++/?\s*+|/\s++)({_NAME})\s*+>")
_EMOTICON = re.compile(r"<[oO]>_<[oO]>|<\|>_<\|>")  # the others can't be mistaken for tags
_DECLARATION = re.compile(r"\s*<\?xml\s[^?<>]*\?>", re.IGNORECASE)
_REFERENCE = re.compile(r"&(?:(?:amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));")
_MARK = re.compile(rf"{_REFERENCE.pattern}|[&<>\"]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}

_FIELDS = {*CHARACTER_ELEMENTS, *GENERAL_ELEMENTS}
KNOWN = sorted({*_FIELDS, *GENERAL_BLOCK, *ROOTS, "character_1"})

Piece = tuple[int, str, bool]  # offset, the text as typed, and whether it stands in CDATA


@dataclass(frozen=True)
class Text:
    """Words between two tags, and the pieces of source they were read from."""

    words: str
    pieces: tuple[Piece, ...]

    def offset(self, index: int) -> int:
        """Where in the source the words' index-th character was written."""
        return self._offsets[min(index, len(self._offsets) - 1)]

    @cached_property
    def _offsets(self) -> list[int]:
        found = []
        for start, raw, verbatim in self.pieces:
            at = 0
            while at < len(raw):
                found.append(start + at)
                reference = None if verbatim else _reference(raw, at)
                at = reference.end() if reference else at + 1
        return found or [self.pieces[0][0] if self.pieces else 0]


@dataclass(frozen=True)
class Node:
    """An element: its name and attributes as typed, where it begins, and what is in it."""

    name: str
    attributes: dict[str, str]
    offset: int
    content: tuple[Node | Text, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(part for part in self.content if isinstance(part, Node))

    @property
    def words(self) -> str:
        """All words in it and in its children, in order."""
        return "".join(part.words for part in self.content)


def all_texts(node: Node) -> tuple[Text, ...]:
    return tuple(text for part in node.content for text in ((part,) if isinstance(part, Text) else all_texts(part)))


class _Tag(NamedTuple):
    """One tag as scanned."""

    name: str
    attributes: tuple[tuple[str, str, int], ...]  # name, value as typed, offset of the value
    offset: int
    end: int
    closes: bool
    empty: bool


@dataclass
class _Pass:
    """What the pass over the text has found so far, and the text written again for lxml."""

    source: Source
    warnings: Warnings
    written: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # offsets of the elements, in order
    open: list[_Tag] = field(default_factory=list)
    runs: list[list[Piece]] = field(default_factory=lambda: [[]])  # the text before, between and after the tags
    plain: int = 0  # marks read as plain characters

    def warn_plain(self, offset: int, message: str) -> None:
        self.plain += 1
        if self.plain > MAX_PLAIN:
            raise self.source.error(f'The prompt has more than {MAX_PLAIN} "<" and "&" that are no XML.', offset)
        self.warnings.warn(self.source, offset, message)


def read_markup(source: Source, start: int, end: int, warnings: Warnings) -> Node:
    """The text from start to end as a node without a name, so that several roots and stray words have a place."""
    declaration = _DECLARATION.match(source.text, start, end)
    start = declaration.end() if declaration else start
    for wide in _WIDE_TAG.finditer(source.text, start, end):
        if is_known(wide.group(1) or wide.group(2)):
            hint = 'Type < and > with the keyboard set to English (half-width): "<name>".'
            raise source.error("A tag is written with full-width ＜ ＞.", wide.start(), hint)
    found = _Pass(source, warnings)
    at = start
    while at < end:
        next_tag = source.text.find("<", at, end)
        next_tag = end if next_tag < 0 else next_tag
        _add_text(found, at, next_tag)
        at = _add_markup(found, next_tag, end) if next_tag < end else end
    if found.open:
        raise _never_closed(source, found.open[-1])
    return _tree(found, start)


def is_known(name: str) -> bool:
    return name in _FIELDS or name in ROOTS or name in GENERAL_BLOCK or character_id(name) is not None


def _add_markup(found: _Pass, at: int, end: int) -> int:
    """Takes what begins with the `<` at this offset; returns the offset behind it."""
    source, text = found.source, found.source.text
    if text.startswith(("<!", "<?"), at) and (behind := _add_declared(found, at, end)):
        return behind
    lora = LORA.match(text, at, end)
    if lora:
        _add_lora(found, lora)
        return lora.end()
    emoticon = _EMOTICON.match(text, at, end)
    tag = None if emoticon else _TAG.match(text, at, end)
    if tag is None:
        spaced = _SPACED_TAG.match(text, at, end)
        if spaced and is_known(spaced.group(1)):
            raise source.error(f"There is a space in the tag of <{spaced.group(1)}>.", at, "Delete it.")
        behind = emoticon.end() if emoticon else at + 1
        _add_text(found, at, behind, lone=True)
        return behind
    return _add_tag(found, _scanned(source, tag, end))


def _add_lora(found: _Pass, match: re.Match[str]) -> None:
    """`<lora:name:0.8>` is the element `<lora>name:0.8</lora>`."""
    _add_tag(found, _Tag("lora", (), match.start(), match.end(), closes=False, empty=False))
    _add_text(found, match.start(1), match.end(1))
    _close(found, _Tag("lora", (), match.end(), match.end(), closes=True, empty=False))


def _add_declared(found: _Pass, at: int, end: int) -> int:
    """Takes a comment or CDATA and returns the offset behind it, or 0 for what is neither."""
    source, text = found.source, found.source.text
    if text.startswith("<!--", at):
        close = text.find("-->", at + 4, end)
        if close < 0:
            raise source.error("A comment is never closed.", at, 'End it with "-->".')
        return close + 3
    if text.startswith("<![CDATA[", at):
        close = text.find("]]>", at + 9, end)
        if close < 0:
            raise source.error("A CDATA section is never closed.", at, 'End it with "]]>".')
        _add_text(found, at + 9, close, verbatim=True)
        return close + 3
    if text[at + 2 : at + 3].isalpha():
        if text[at + 1] == "?":
            raise source.error("Processing instructions (<?...?>) are not read.", at, "Delete it.")
        hint = "Delete it; &lt; &gt; &amp; &quot; &apos; work without."
        raise source.error("Document types and entity definitions are not read.", at, hint)
    return 0


def _add_text(found: _Pass, start: int, end: int, verbatim: bool = False, lone: bool = False) -> None:
    raw = found.source.text[start:end]
    if not raw:
        return
    if lone:
        found.warn_plain(start, f'"{raw}" is read as plain text, not as a tag; &lt; says so in XML.')
    found.runs[-1].append((start, raw, verbatim))
    found.written.append(_escaped(found, raw, start, verbatim))


def _escaped(found: _Pass, raw: str, start: int, verbatim: bool = False) -> str:
    """The text for lxml: references that XML knows stay, every other mark is escaped."""

    def escape(match: re.Match[str]) -> str:
        mark = match.group()
        if mark[0] == "&" and not verbatim:
            if _reference(raw, match.start()):
                return mark
            found.warn_plain(start + match.start(), '"&" is read as a plain character; XML spells it &amp;.')
        return _ESCAPES[mark[0]] + mark[1:]

    return _MARK.sub(escape, raw)


def _reference(raw: str, at: int) -> re.Match[str] | None:
    """The reference that begins here, if it is one of the five or a number of a character that XML can hold."""
    match = _REFERENCE.match(raw, at) if raw[at] == "&" else None
    if match is None or not (match.group(1) or match.group(2)):
        return match
    code = int(match.group(1)) if match.group(1) else int(match.group(2), 16)
    return match if code <= 0x10FFFF and not FORBIDDEN.match(chr(code)) else None


def _scanned(source: Source, match: re.Match[str], end: int) -> _Tag:
    """The whole tag. Raises PromptError for attributes that XML can't read and tags that never end."""
    text, at, attributes = source.text, match.end(), []
    name = match.group(2)
    if len(name) > MAX_NAME:
        raise source.error(f"The element name <{name[:20]}...> is longer than {MAX_NAME} characters.", match.start())
    while not (finish := _TAG_END.match(text, at, end)):
        attribute = _ATTRIBUTE.match(text, at, end)
        if match.group(1) and attribute:
            raise source.error(f"The end tag </{name}> has an attribute.", attribute.start(1), f"Write </{name}>.")
        if attribute is None or not text[at].isspace() or match.group(1):
            raise _bad_attribute(source, name, match.start(), at, end)
        if len(attributes) >= MAX_ATTRIBUTES:
            raise source.error(f"<{name}> has more than {MAX_ATTRIBUTES} attributes.", attribute.start(1))
        group = 2 if attribute.group(2) is not None else 3
        if any(attribute.group(1) == key for key, _, _ in attributes):
            raise source.error(f"<{name}> states {attribute.group(1)} twice.", attribute.start(1), "Delete one.")
        attributes.append((attribute.group(1), attribute.group(group), attribute.start(group)))
        at = attribute.end()
    return _Tag(name, tuple(attributes), match.start(), finish.end(), bool(match.group(1)), bool(finish.group(1)))


def _bad_attribute(source: Source, name: str, offset: int, at: int, end: int) -> PromptError:
    text = source.text
    while at < end and text[at].isspace():
        at += 1
    closing, opening = text.find(">", at, end), text.find("<", at, end)
    if closing < 0 or (0 <= opening < closing and text.count('"', at, opening) % 2 == 0):
        hint = f'Write "<{name}>", or &lt; for a plain "<".'
        return source.error(f'The tag <{name} is never finished with ">".', offset, hint)
    key = re.match(rf"({_NAME})\s*(=?)\s*(.?)", text[at:closing])
    if key is None or not key.group(2):
        hint = 'Only name="value" may follow an element\'s name.'
        if name.lower() == "character":
            hint = "Write <character_1> with an underscore."
        return source.error(f"<{name}> has something in its tag that is no attribute.", at, hint)
    if key.group(3) in tuple("“”＂‘’「"):
        return source.error(f"The attribute {key.group(1)} has typographic quotes.", at, f'Write {key.group(1)}="...".')
    if key.group(3) in tuple("\"'"):
        value, closed, _ = text[at + key.end() : end].partition(key.group(3))
        if closed and "<" in value and "</" not in value and "=" not in value:
            return source.error(f'The attribute {key.group(1)} holds a "<".', at, "Write &lt; for it.")
        return source.error(f"The quote of the attribute {key.group(1)} is never closed.", at)
    return source.error(f"The attribute {key.group(1)} has no quotes.", at, f'Write {key.group(1)}="...".')


def _add_tag(found: _Pass, tag: _Tag) -> int:
    if tag.closes:
        _close(found, tag)
        return tag.end
    source = found.source
    if len(found.open) >= MAX_DEPTH:
        raise source.error(f"Elements are nested more than {MAX_DEPTH} deep.", tag.offset)
    if len(found.starts) >= MAX_ELEMENTS:
        raise source.error(f"The prompt has more than {MAX_ELEMENTS} elements.", tag.offset, "Shorten it.")
    if found.open and found.open[-1].name == tag.name and tag.name in _FIELDS and not tag.empty:
        hint = f"Write </{tag.name}> where it ends."
        raise source.error(f"<{tag.name}> is opened again before it was closed.", tag.offset, hint)
    found.starts.append(tag.offset)
    found.written.append(f"<{tag.name}")
    for key, value, offset in tag.attributes:
        if ":" in key or key == "xmlns":
            found.warnings.warn(source, offset, f"The attribute {key} means nothing here and is left out.")
        else:
            found.written.append(f' {key}="{_escaped(found, value, offset)}"')
    found.written.append(">")
    found.runs.append([])
    found.open.append(tag)
    if tag.empty:
        _close(found, tag)
    return tag.end


def _close(found: _Pass, tag: _Tag) -> None:
    """Closes the innermost open element, or raises with the mistake that this end tag shows."""
    source = found.source
    if not found.open or found.open[-1].name.lower() != tag.name.lower():
        raise _wrong_end(found, tag)
    opened = found.open.pop()
    if opened.name != tag.name:
        found.warnings.warn(source, tag.offset, f"</{tag.name}> is read as </{opened.name}>.")
    found.written.append(f"</{opened.name}>")
    found.runs.append([])


def _wrong_end(found: _Pass, tag: _Tag) -> PromptError:
    source = found.source
    if not found.open:
        return source.error(f"</{tag.name}> closes nothing: no element is open here.", tag.offset, "Delete it.")
    inner = found.open[-1]
    if any(opened.name.lower() == tag.name.lower() for opened in found.open):
        if re.match(rf"\s*</{re.escape(inner.name)}\s*>", source.text[tag.end :]):
            hint = f"Write </{inner.name}></{tag.name}>."
            return source.error(f"</{tag.name}> and </{inner.name}> are in the wrong order.", tag.offset, hint)
        return _never_closed(source, inner, before=tag.name)
    hint = f"Write </{inner.name}>."
    if nearest(tag.name, [inner.name.lower()]):
        return source.error(f"</{tag.name}> is misspelt: <{inner.name}> is open here.", tag.offset, hint)
    problem = f"</{tag.name}> closes nothing: <{inner.name}> is open here."
    return source.error(problem, tag.offset, f"Write </{inner.name}>, or <{tag.name}> where it begins.")


def _never_closed(source: Source, tag: _Tag, before: str = "") -> PromptError:
    where = f" before </{before}>" if before else " where it ends"
    return source.error(f"<{tag.name}> is never closed.", tag.offset, f"Write </{tag.name}>{where}.")


def _tree(found: _Pass, start: int) -> Node:
    # Built for each prompt: a parser keeps state between texts.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(f"<all>{''.join(found.written)}</all>".encode(), parser)
    except (etree.LxmlError, ValueError) as error:
        raise found.source.error(f"This is no XML that can be read ({error}).", start) from error
    return _node(root, iter([start, *found.starts]), iter(found.runs))


def _node(element: etree._Element, starts: Iterator[int], runs: Iterator[list[Piece]]) -> Node:
    offset = next(starts)
    content: list[Node | Text] = [Text(element.text or "", tuple(next(runs)))]
    for child in element:
        content.append(_node(child, starts, runs))
        content.append(Text(child.tail or "", tuple(next(runs))))
    kept = tuple(part for part in content if isinstance(part, Node) or part.words)
    return Node(str(element.tag), dict(element.attrib), offset, kept)
