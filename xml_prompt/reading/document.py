"""What stands around the prompt itself: a system prompt, a code fence, quotes, braces, a language model's remarks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..messages import Message
from ..scene import PromptWarning
from ..words import INVISIBLE
from .cleaning import cleaned, visible, without_thoughts
from .json_text import decoded
from .prompt_text import Source, Warnings, stripped

_MARKER = re.compile(r"<\s*prompt[\s_\-]*start\s*/?>", re.IGNORECASE)
_ESCAPED_MARKER = re.compile(r"[^<]*&lt;\s*prompt[\s_\-]*start\s*/?&gt;", re.IGNORECASE)
_END_MARKER = re.compile(r"<\s*/?\s*prompt[\s_\-]*(?:end|start)\s*/?>\s*$", re.IGNORECASE)
_FENCE = re.compile(r"```[ \t]*+[A-Za-z]*+[ \t]*+(?:\n|(?=[<{])|$)")
_BRACES = re.compile(r"\{\s*[<{]")
_MARKED_UP = re.compile(r'(?:\\n|\s)*+(?:<|\{\s*+\\?")')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_REMARK = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here|below|this is|the following|以下|这是|好的|当然|下面|はい|こちら)"
    r"[^<{\[\n]{0,200}[:：.!。！]\s*\n\s*(?=<[^\W\d]|\{)",
    re.IGNORECASE,
)
_OBJECT = re.compile(r'\{\s*"')


@dataclass(frozen=True)
class Document:
    """A prompt's parts: the body, from start to end of the source, is XML, plain words, or (is_json) a JSON object."""

    source: Source
    system: str
    start: int
    end: int
    is_json: bool = False
    warnings: tuple[PromptWarning, ...] = ()  # of what stands around the body, or in it in disguise


def find_document(source: Source, warnings: Warnings) -> Document:
    """Where the prompt itself begins and ends."""
    source = visible(source, warnings)
    system, start = _system(source, warnings)
    start, end = stripped(source.text, start, len(source.text))
    start, end = _without_end_marker(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = without_thoughts(source, start, end, warnings)
        start, end = stripped(source.text, start, end)
    start, end = _unfenced(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = _unquoted(source, start, end, warnings)
        start = _behind_remark(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = cleaned(source, start, end, warnings)
        start, end = stripped(source.text, start, end)
    while _BRACES.match(source.text, start, end) and source.text[end - 1] == "}":
        start, end = stripped(source.text, start + 1, end - 1)
    is_json = bool(_OBJECT.match(source.text, start, end))
    return Document(source, system, start, end, is_json, tuple(warnings.found))


def _system(source: Source, warnings: Warnings) -> tuple[str, int]:
    """The system prompt, and where it ends: at its last marker. Of one that is there twice one is kept."""
    text = source.text
    # The template's JSON may quote the marker: it is none there.
    marker = None if _OBJECT.match(text.lstrip()[:64]) else (_MARKER.search(text) or _ESCAPED_MARKER.match(text))
    if marker is None:
        return "", 0
    parts, end = [text[: marker.end()].strip()], marker.end()
    while (more := _MARKER.search(text, end)) and "<" not in text[end : more.start()] and text[more.end() :].strip():
        part = text[end : more.end()].strip()
        if part in parts:
            warnings.warn(source, end, Message("The system prompt is repeated; the repetition is ignored."))
        else:
            message = Message("The system prompt is everything before the last <Prompt Start>.")
            warnings.warn(source, more.start(), message)
        parts += [part] if part not in parts else []
        end = more.end()
    return "\n".join(parts), end


def _without_end_marker(source: Source, start: int, end: int, warnings: Warnings) -> tuple[int, int]:
    marker = _END_MARKER.search(source.text, max(start, end - 64), end)
    if marker is None or source.text[start : marker.start()].strip() == "":
        return start, end
    message = Message("{marker} at the end of the prompt is ignored.", marker=marker.group().strip())
    warnings.warn(source, marker.start(), message)
    return stripped(source.text, start, marker.start())


def _unquoted(source: Source, start: int, end: int, warnings: Warnings) -> tuple[Source, int, int]:
    """A whole prompt in quotes, as a JSON string or as it was copied from a program."""
    text = source.text
    for mark, closes in (('"""', '"""'), ("'''", "'''"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’")):
        if text.startswith(mark, start, end) and text.endswith(closes, start + len(mark), end):
            first, last = start + len(mark), end - len(closes)
            if not _MARKED_UP.match(text, first, last):
                continue
            warnings.warn(source, start, Message("The quotes around the prompt are not part of it and are ignored."))
            if mark == '"' and _STRING.fullmatch(text, start, end):
                words, offsets = decoded(text[first:last], first)
                source = Source(words, source, (*offsets, last))
                return source, *stripped(words, 0, len(words))
            return source, *stripped(text, first, last)
    return source, start, end


def _behind_remark(source: Source, start: int, end: int, warnings: Warnings) -> int:
    """Where the prompt begins behind a language model's `Here is your prompt:`."""
    remark = _REMARK.match(source.text, start, end)
    if remark is None:
        return start
    warnings.warn(source, start, Message("The text before the prompt is not part of it and is ignored."))
    return remark.end()


def with_system(system: str, text: str) -> str:
    """A negative prompt behind the system prompt, as the authors' reference has it; one with its own, or none, stays.

    Source: demo.py in NewBieAI-Lab/NewBie-image-Exp0.1, which leaves an empty negative empty.
    """
    return f"{system}\n{text}" if system and text.strip() and not _MARKER.search(text) else text


def without_system(text: str) -> str:
    """A negative prompt alone, for text encoders that never saw a system prompt."""
    return text[marker.end() :].lstrip() if (marker := _MARKER.search(text)) else text


def ends_with_marker(system: str) -> bool:
    """Whether a system prompt may stand before the XML as it is: read there, it is the same again."""
    found = _MARKER.search(system) and _system(Source(f"{system}\n<"), Warnings())
    return bool(found) and found == (system, len(system)) and not INVISIBLE.search(system)


def _unfenced(source: Source, start: int, end: int, warnings: Warnings) -> tuple[int, int]:
    """What a ``` fence holds. Words around it are somebody's remarks: left out, with a warning."""
    text = source.text
    # Behind the first tag or brace ``` are words like any other.
    fence = None if text[start : start + 1] in ("<", "{") else _FENCE.search(text, start, end)
    if fence is None:
        return start, end
    close = text.find("```", fence.end(), end)
    if text[start : fence.start()].strip():
        warnings.warn(source, start, Message("The text before the ``` fence is not part of the prompt and is ignored."))
    if close < 0:
        warnings.warn(source, fence.start(), Message("The ``` fence is never closed; everything after it is read."))
        close = end
    elif text[close + 3 : end].strip():
        after = close + 3 + len(text[close + 3 : end]) - len(text[close + 3 : end].lstrip())
        warnings.warn(source, after, Message("The text after the ``` fence is not part of the prompt and is ignored."))
    return stripped(text, fence.end(), close)
