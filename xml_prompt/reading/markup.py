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
from html.entities import html5
from typing import NamedTuple

from lxml import etree

from ..messages import Message
from ..scene import PromptError
from ..words import (
    CHARACTER_ELEMENTS,
    GENERAL_BLOCK,
    GENERAL_ELEMENTS,
    LORA_ELEMENTS,
    MAX_NAME,
    NAME,
    ROOTS,
    character_id,
    nearest,
    word_key,
)
from .document import FORBIDDEN, Source, Warnings

MAX_DEPTH = 16
MAX_ELEMENTS = 2048
MAX_ATTRIBUTES = 16
MAX_PLAIN = 4096  # `&` and `<` that are no markup

_TAG = re.compile(rf"<(/?)({NAME})(?![:：])")
_BARE_TAG = re.compile(rf"<(/?)({NAME})\s*>")
_ATTRIBUTE = re.compile(rf"\s*({NAME}(?::{NAME})?)\s*=\s*(?:\"([^\"<]*)\"|'([^'<]*)')")
_TAG_END = re.compile(r"\s*(/?)>")
LORA = re.compile(r"<\s*+(?:lora|lyco|locon)\s*+[:：](?=[^<>:：\n]*?[^<>:：\s])([^<>\n]*+)>", re.IGNORECASE)
_WIDE_TAG = re.compile(
    rf"＜\s*+[/／]?\s*+({NAME})(?:\s*+|[:：][^<>＜＞\n]*+)[＞>]|<\s*+[/／]?\s*+({NAME})(?:\s*+|[:：][^<>＜＞\n]*+)＞"
)
_SPACED_TAG = re.compile(rf"<(?:\s++/?\s*+|/\s++)({NAME})\s*+>")
_EMOTICON = re.compile(r"<[oO]>_<[oO]>|<\|>_<\|>")  # the others can't be mistaken for tags
_DECLARATION = re.compile(r"\s*<\?xml\s[^?<>]*\?>", re.IGNORECASE)
_REFERENCE = re.compile(
    r"&(?:(?:amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));"
)
_LINE_END = re.compile(r"<\s*/?\s*br\s*/?\s*>", re.IGNORECASE)
_MARK = re.compile(rf"{_REFERENCE.pattern}|[&<>\"]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}

_FIELDS = {*CHARACTER_ELEMENTS, *GENERAL_ELEMENTS}

Piece = tuple[int, str, bool]  # offset, the text as typed, and whether it stands in CDATA


@dataclass(frozen=True)
class Text:
    """Words between two tags, and the pieces of source they were read from."""

    words: str
    pieces: tuple[Piece, ...]

    @classmethod
    def at(cls, offset: int, words: str) -> Text:
        """Words that are not written so in the source: all of them stand at one place."""
        return cls(words, ((offset, "", True),))

    def offset(self, index: int) -> int:
        """Where in the source the words' index-th character was written."""
        if len(self.pieces) == 1 and len(self.pieces[0][1]) == len(self.words):  # nearly always: no reference in it
            return self.pieces[0][0] + min(index, max(len(self.words) - 1, 0))
        return self._offsets[min(index, len(self._offsets) - 1)]

    def part(self, start: int, end: int) -> Text:
        """The words from start to end."""
        if (start, end) == (0, len(self.words)):
            return self
        words = self.words[start:end]
        return Text(words, tuple((self.offset(i), self.words[i], True) for i in range(start, end)))

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
    is_key: bool = False  # of JSON

    @property
    def spelled(self) -> str:
        """As messages show it."""
        return f'"{self.name}"' if self.is_key else f"<{self.name}>"

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(part for part in self.content if isinstance(part, Node))

    @property
    def texts(self) -> tuple[Text, ...]:
        """Its own words, without those of its children."""
        return tuple(part for part in self.content if isinstance(part, Text))

    @property
    def all_texts(self) -> tuple[Text, ...]:
        """All words in it and in its children, in order."""
        return tuple(text for part in self.content for text in ((part,) if isinstance(part, Text) else part.all_texts))


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

    def warn_plain(self, offset: int, message: Message) -> None:
        self.plain += 1
        if self.plain > MAX_PLAIN:
            message = Message(
                'The prompt has more than {limit} "<" and "&" that are not XML. Shorten it.', limit=MAX_PLAIN
            )
            raise self.source.error(message, offset)
        self.warnings.warn(self.source, offset, message)


def read_markup(source: Source, start: int, end: int, warnings: Warnings) -> Node:
    """The text from start to end as a node without a name, so that several roots and stray words have a place."""
    declaration = _DECLARATION.match(source.text, start, end)
    start = declaration.end() if declaration else start
    is_wide = "＜" in source.text or "＞" in source.text
    for wide in _WIDE_TAG.finditer(source.text, start, end) if is_wide else ():
        if is_known(wide.group(1) or wide.group(2)):
            message = Message("This tag is written with full-width ＜ ＞. Use half-width < and >.")
            raise source.error(message, wide.start())
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
    known = name in _FIELDS or name in ROOTS or name in GENERAL_BLOCK or name.lower() in LORA_ELEMENTS
    return known or character_id(name) is not None


def _add_markup(found: _Pass, at: int, end: int) -> int:
    """Takes what begins with the `<` at this offset; returns the offset behind it."""
    source, text = found.source, found.source.text
    tag = _BARE_TAG.match(text, at, end)
    if tag and is_known(tag.group(2)) and len(tag.group(2)) <= MAX_NAME:  # nearly always
        return _add_tag(found, _Tag(tag.group(2), (), at, tag.end(), closes=bool(tag.group(1)), empty=False))
    if text.startswith(("<!", "<?"), at) and (behind := _add_declared(found, at, end)):
        return behind
    if line_end := _LINE_END.match(text, at, end):
        message = Message("{tag} is HTML; it is read as a line break.", tag=line_end.group())
        found.warn_plain(at, message)
        found.runs[-1].append((at, "\n", True))
        found.written.append("\n")
        return line_end.end()
    lora = LORA.match(text, at, end)
    if lora:
        _add_lora(found, lora)
        return lora.end()
    emoticon = _EMOTICON.match(text, at, end)
    tag = None if emoticon else _TAG.match(text, at, end)
    if tag is None:
        spaced = _SPACED_TAG.match(text, at, end)
        if spaced and is_known(spaced.group(1)):
            raise source.error(
                Message("There is a space inside the tag <{name}>. Delete it.", name=spaced.group(1)), at
            )
        behind = emoticon.end() if emoticon else at + 1
        _add_text(found, at, behind, lone=True)
        return behind
    if not tag.group(1) and not is_known(tag.group(2)) and _is_plain(text, tag, end):
        _add_text(found, at, at + 1, lone=True)
        return at + 1
    return _add_tag(found, _scanned(source, tag, end))


def _is_plain(text: str, tag: re.Match[str], end: int) -> bool:
    """Whether a `<` before a word that is no element's name is a plain character: `a<b`, or never finished."""
    behind, following = text.find(">", tag.end(), end), text.find("<", tag.end(), end)
    closed = re.compile(rf"</{re.escape(tag.group(2))}\s*>").search(text, tag.end(), end) is not None
    if behind < 0 or 0 <= following < behind:
        return not closed
    within = text[tag.end() : behind]
    said = bool(within.strip(" /")) or not closed
    return said and text[tag.start() - 1 : tag.start()].isalnum() and "=" not in within


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
            raise source.error(Message('This comment is never closed. End it with "-->".'), at)
        return close + 3
    if text.startswith("<![CDATA[", at):
        close = text.find("]]>", at + 9, end)
        if close < 0:
            raise source.error(Message('This CDATA section is never closed. End it with "]]>".'), at)
        _add_text(found, at + 9, close, verbatim=True)
        return close + 3
    if text[at + 2 : at + 3].isalpha():
        if text[at + 1] == "?":
            raise source.error(Message("Processing instructions (<?...?>) are not allowed. Delete this one."), at)
        message = Message(
            "Document types and entity definitions are not allowed. "
            "Delete this one; &lt; &gt; &amp; &quot; &apos; work without it."
        )
        raise source.error(message, at)
    return 0


def _add_text(found: _Pass, start: int, end: int, verbatim: bool = False, lone: bool = False) -> None:
    raw = found.source.text[start:end]
    if not raw:
        return
    if lone:
        found.warn_plain(
            start, Message('"{text}" is read as plain text, not as a tag. Write &lt; to say so.', text=raw)
        )
    found.runs[-1].append((start, raw, verbatim))
    found.written.append(_escaped(found, raw, start, verbatim))


def _escaped(found: _Pass, raw: str, start: int, verbatim: bool = False) -> str:
    """The text for lxml: references that XML knows stay, every other mark is escaped."""
    if not _MARK.search(raw):
        return raw

    def escape(match: re.Match[str]) -> str:
        mark = match.group()
        if mark[0] == "&" and not verbatim:
            if reference := _reference(raw, match.start()):
                if not reference.group(3):
                    return mark
                char = " " if html5[mark[1:]].isspace() else html5[mark[1:]]
                message = Message('{reference} is HTML, not XML; it is read as "{char}".', reference=mark, char=char)
                found.warn_plain(start + match.start(), message)
                return f"&#{ord(char)};"
            found.warn_plain(start + match.start(), Message('"&" is read as plain text. Write &amp; to say so.'))
        return _ESCAPES[mark[0]] + mark[1:]

    return _MARK.sub(escape, raw)


def _reference(raw: str, at: int) -> re.Match[str] | None:
    """The reference that begins here: one of the five, HTML's, or the number of a character that XML can hold."""
    match = _REFERENCE.match(raw, at) if raw[at] == "&" else None
    if match is not None and match.group(3):
        return match if len(html5.get(match.group()[1:], "")) == 1 else None
    if match is None or not (match.group(1) or match.group(2)):
        return match
    code = int(match.group(1)) if match.group(1) else int(match.group(2), 16)
    return match if code <= 0x10FFFF and not FORBIDDEN.match(chr(code)) else None


def _scanned(source: Source, match: re.Match[str], end: int) -> _Tag:
    """The whole tag. Raises PromptError for attributes that XML can't read and tags that never end."""
    text, at, attributes = source.text, match.end(), []
    name = match.group(2)
    if len(name) > MAX_NAME:
        message = Message("The element name {name} is longer than {limit} characters.", name=name, limit=MAX_NAME)
        raise source.error(message, match.start())
    while not (finish := _TAG_END.match(text, at, end)):
        attribute = _ATTRIBUTE.match(text, at, end)
        if match.group(1) and attribute:
            message = Message("The end tag </{name}> has an attribute. Write </{name}>.", name=name)
            raise source.error(message, attribute.start(1))
        if attribute is None or not text[at].isspace() or match.group(1):
            raise _bad_attribute(source, match.group(1) + name, match.start(), at, end)
        if len(attributes) >= MAX_ATTRIBUTES:
            message = Message("<{name}> has more than {limit} attributes.", name=name, limit=MAX_ATTRIBUTES)
            raise source.error(message, attribute.start(1))
        group = 2 if attribute.group(2) is not None else 3
        if any(attribute.group(1) == key for key, _, _ in attributes):
            message = Message("<{name}> has {attribute} twice. Delete one.", name=name, attribute=attribute.group(1))
            raise source.error(message, attribute.start(1))
        attributes.append((attribute.group(1), attribute.group(group), attribute.start(group)))
        at = attribute.end()
    return _Tag(name, tuple(attributes), match.start(), finish.end(), bool(match.group(1)), bool(finish.group(1)))


def _bad_attribute(source: Source, name: str, offset: int, at: int, end: int) -> PromptError:
    text = source.text
    while at < end and text[at].isspace():
        at += 1
    closing, opening = text.find(">", at, end), text.find("<", at, end)
    if closing < 0 or (0 <= opening < closing and text.count('"', at, opening) % 2 == 0):
        message = Message('The tag <{name} has no ">". Write <{name}>, or &lt; for a plain "<".', name=name)
        return source.error(message, offset)
    if name.lower() == "prompt" and text[at:closing].strip().lower() == "start":
        message = Message("<Prompt Start> is inside the prompt but belongs before it. Delete this one.")
        return source.error(message, offset)
    key = re.match(rf"({NAME})\s*(=?)\s*(.?)", text[at:closing])
    if key is None or not key.group(2):
        whole = word_key(f"{name} {text[at:closing].rstrip('/')}")
        if is_known(whole.removeprefix("/")):
            names = {"name": name, "whole": whole}
            message = Message("<{name}> has text in its tag. Write <{whole}>, with an underscore.", **names)
        else:
            message = Message('<{name}> has text in its tag. Only name="value" may follow the name.', name=name)
        return source.error(message, at)
    attribute = key.group(1)
    if key.group(3) in tuple("“”＂‘’「"):
        message = Message('{attribute} has typographic quotes. Write {attribute}="...".', attribute=attribute)
    elif key.group(3) in tuple("\"'"):
        value, closed, _ = text[at + key.end() : end].partition(key.group(3))
        if closed and "<" in value and "</" not in value and "=" not in value:
            message = Message('The value of {attribute} contains "<". Write &lt; instead.', attribute=attribute)
        else:
            message = Message("The quote after {attribute}= is never closed. Close it.", attribute=attribute)
    else:
        message = Message('The value of {attribute} has no quotes. Write {attribute}="...".', attribute=attribute)
    return source.error(message, at)


def _add_tag(found: _Pass, tag: _Tag) -> int:
    if tag.closes:
        _close(found, tag)
        return tag.end
    source = found.source
    if len(found.open) >= MAX_DEPTH:
        message = Message("Elements are nested more than {limit} deep. Close some.", limit=MAX_DEPTH)
        raise source.error(message, tag.offset)
    if len(found.starts) >= MAX_ELEMENTS:
        message = Message("The prompt has more than {limit} elements. Shorten it.", limit=MAX_ELEMENTS)
        raise source.error(message, tag.offset)
    if found.open and found.open[-1].name == tag.name and tag.name in _FIELDS and not tag.empty:
        message = Message("<{name}> is opened again before it is closed. Write </{name}> where it ends.", name=tag.name)
        raise source.error(message, tag.offset)
    found.starts.append(tag.offset)
    found.written.append(f"<{tag.name}")
    for key, value, offset in tag.attributes:
        if ":" in key or key == "xmlns":
            message = Message(
                "<{element}> does not take the attribute {name}; it is ignored.", element=tag.name, name=key
            )
            found.warnings.warn(source, offset, message)
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
        message = Message("</{name}> is read as </{opened}>.", name=tag.name, opened=opened.name)
        found.warnings.warn(source, tag.offset, message)
    found.written.append(f"</{opened.name}>")
    found.runs.append([])


def _wrong_end(found: _Pass, tag: _Tag) -> PromptError:
    source = found.source
    if not found.open:
        message = Message("</{name}> closes nothing: no element is open here. Delete it.", name=tag.name)
        return source.error(message, tag.offset)
    inner = found.open[-1]
    names = {"name": tag.name, "inner": inner.name}
    if any(opened.name.lower() == tag.name.lower() for opened in found.open):
        if not re.match(rf"\s*</{re.escape(inner.name)}\s*>", source.text[tag.end :]):
            return _never_closed(source, inner, before=tag.name)
        message = Message("</{name}> and </{inner}> are in the wrong order. Write </{inner}></{name}>.", **names)
    elif nearest(tag.name, [inner.name.lower()]):
        message = Message("</{name}> is misspelt: <{inner}> is open here. Write </{inner}>.", **names)
    else:
        message = Message(
            "</{name}> closes nothing: <{inner}> is open here. Write </{inner}>, or <{name}> where it begins.", **names
        )
    return source.error(message, tag.offset)


def _never_closed(source: Source, tag: _Tag, before: str = "") -> PromptError:
    message = (
        Message("<{name}> is never closed. Write </{name}> before </{outer}>.", name=tag.name, outer=before)
        if before
        else Message("<{name}> is never closed. Write </{name}> where it ends.", name=tag.name)
    )
    return source.error(message, tag.offset)


def _tree(found: _Pass, start: int) -> Node:
    # Built for each prompt: a parser keeps state between texts.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(f"<all>{''.join(found.written)}</all>".encode(), parser)
    except (etree.LxmlError, ValueError) as error:
        raise found.source.error(Message("The XML can't be read: {reason}", reason=str(error)), start) from error
    return _node(root, iter([start, *found.starts]), iter(found.runs))


def _node(element: etree._Element, starts: Iterator[int], runs: Iterator[list[Piece]]) -> Node:
    offset = next(starts)
    content: list[Node | Text] = [Text(element.text or "", tuple(next(runs)))]
    for child in element:
        content.append(_node(child, starts, runs))
        content.append(Text(child.tail or "", tuple(next(runs))))
    kept = tuple(part for part in content if isinstance(part, Node) or part.words)
    return Node(str(element.tag), dict(element.attrib), offset, kept)
