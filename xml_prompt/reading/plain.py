"""Plain tags and `A: ... B: ...` -> a Scene with characters.

    1girl, blue hair, left; 1boy, red hair, right; classroom
    Miku: aqua hair, left                              女孩：蓝发，在左边；男孩：红发，在右边
    Kaito: blue hair, right

The rules, in the order they are asked:

 1. A text with elements or the template's JSON is no plain text: it is read as it is.
 2. `;` `；` a line end, `BREAK` and a `|` between spaces end a part. A label begins one, wherever it stands: up to four
    words and a colon, at the beginning of a part; a capitalised or known word and a colon, in the middle of it.
    Nothing in brackets, no emoticon and no weight (`hat:1.2`) ends or begins anything.
 3. Labels. `character 2`, `角色二` and any name begin a character; so does a person word (`girl`, `左边的女孩`), which
    says the gender and the place. The name of a field (`clothing`, `背景`) fills that field: of the character before it
    if a character has such a field, else of the whole picture. `scene` and `场景` begin words on the whole picture.
 4. A Chinese clause that says who is where (`红发女孩在左边`, `右边是男孩`) is cut into tags and begins a part of its
    own; one on all of them (`他们在海边握手`) is of the whole picture. The words between are left out (clauses.py).
 5. A part without a label that has a person word (`1girl`, `a tall woman`, `男孩`) is a character. One that has none
    speaks of the whole picture if no tag of it describes a person; else it goes on describing the character before it.
 6. Person words within one list begin a character each (a guess: there is a warning), except where they stand side by
    side (`1girl, 1boy, blue hair`, `2girls`): then nobody can say whose the tags are, and they stay with the picture.
 7. Tags without any person word that describe one all the same are one person (a guess).
 8. Each tag goes to the field that plain_words finds for it; what is left goes to `other`. `name_(series)` is the name.
 9. Language (sentences, no labels, no `1girl`) stays a caption, as in parse; of a list, a tag that is a sentence does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from ..messages import Message
from ..positions import read_position
from ..scene import Scene, Tag
from ..tags import TagError, bracketed
from ..words import (
    CHARACTER_ELEMENTS,
    GENERAL_BLOCK,
    GENERAL_ELEMENTS,
    ROOTS,
    character_id,
    gender_of,
    joint_interaction,
    word_key,
)
from .clauses import Clause, clauses
from .document import find_document
from .draft import Draft, Reading, StatedInteraction, add, check_position, new_draft, state_box, tags_in
from .elements import is_language
from .loras import without_loras
from .markup import Text
from .parse import parse, scene_of
from .plain_words import field_of_person, field_of_picture, people_in
from .prompt_text import Warnings, source_of

MAX_COLONS = 4096
MOST_ALIKE = 8  # `2girls` makes two characters; a crowd stays a crowd

_BREAK = re.compile(r"[;；\n]|(?<!\S)\|(?!\S)|\bBREAK\b")
_COLON = re.compile(r"[:：]")
_WEIGHT = re.compile(r"\s*[0-9]*\.?[0-9]+\s*(?:[,，、;；\n)）]|$)")
_CHUNK_END = re.compile(r"[,，、。.!?！？]\s*")
_LIST = re.compile(r"^\s*(?:[-*•]|[0-9]{1,2}[.)、])\s+")
_SETTINGS = re.compile(r"Steps:\s*[0-9]+\s*,")
_SERIES = re.compile(r"[^\s()][^()]*?[_ ]\([^()]+\)")
_COUNTED = re.compile(r"[0-9]{1,2}\+?(?:girl|boy|other)s?", re.IGNORECASE)
_NUMBERED = re.compile(r"[\s_]*(?:[0-9]{1,2}|[A-Ha-h]|[一二三四五六七八])$")
_STOP = re.compile(r"(?<=\w)[。.]\s*$")
_LABEL_WORDS, _LABEL_SIGNS = 4, 40
_PARTS_OF_A_BODY = {"hair": "appearance", "eyes": "appearance", "头发": "appearance", "发型": "appearance",
                    "眼睛": "appearance", "face": "expression", "feelings": "expression"}  # fmt: skip
_NOT_SAID_HERE = frozenset({"negative_prompt", "反向提示词", "负面提示词", "负向提示词"})
_PICTURE = ROOTS | GENERAL_BLOCK | {"setting", "整体", "overall", "picture", "环境描述"}


@dataclass(frozen=True)
class Part:
    """A label ("" for none) and the words behind it, from start to end of the text."""

    label: str
    at: int  # where the label, or else the words, begin
    start: int
    end: int


def convert(text: str) -> Scene:
    """The scene that plain words describe, with characters. Raises PromptError as parse does, and nothing else."""
    parsed = parse(text)
    source, warnings = source_of(text), Warnings()
    document = find_document(source, warnings)
    reading = Reading(source, warnings, system=document.system)
    body = source.text[document.start : document.end]
    if document.is_json or parsed.characters or any(field.name != "other" for field in parsed.general):
        return parsed
    if parsed.interactions or parsed.spacing or _has_markup(parsed, body):
        return parsed
    reading.source = replace(source, text=without_loras(reading, document.start, document.end))
    try:
        parts = list(_parts(reading.source.text, document.start, document.end))
    except TagError as error:
        raise source.error(error.message, error.offset) from None
    labels = sum(bool(part.label) for part in parts)
    if parsed.caption and labels < 2 and not any(_COUNTED.fullmatch(chunk.strip()) for chunk in _chunks(body)):
        return parsed
    _Plain(reading).read(parts)
    return scene_of(reading)


def _has_markup(parsed: Scene, body: str) -> bool:
    """Whether some element stood in the text: plain words are read as they are, or as tags that they hold."""
    return bool(parsed.caption) and parsed.caption != body.strip()


def _chunks(text: str) -> list[str]:
    return re.split(r"[,，、;；\n]", text)


# Parts and labels


def _parts(text: str, start: int, end: int) -> Iterator[Part]:
    inside = bracketed(text)
    begin = start
    for found in _BREAK.finditer(text, start, end):
        if not inside[found.start()]:
            yield from _labelled(text, begin, found.start(), inside)
            begin = found.end()
    yield from _labelled(text, begin, end, inside)


def _labelled(text: str, start: int, end: int, inside: bytearray) -> Iterator[Part]:
    """One part, cut again where a label begins."""
    bullet = _LIST.match(text[start:end])
    start += bullet.end() if bullet else 0
    if not text[start:end].strip():
        return
    label, at, begin = "", start, start
    for number, colon in enumerate(_COLON.finditer(text, start, end)):
        i = colon.start()
        if number >= MAX_COLONS:
            raise TagError(Message("This part has more than {limit} colons. Shorten it.", limit=MAX_COLONS), i)
        found = "" if inside[i] or _WEIGHT.match(text, i + 1, end) else _label_before(text, begin, i, at == begin)
        if not found or not (colon.group() == "：" or text[i + 1 : i + 2].isspace() or i + 1 == end or _known(found)):
            continue
        label_at = text.rindex(found, begin, i)
        if label or label_at - begin > _LABEL_SIGNS or text[begin:label_at].strip(" ,，、。."):
            yield Part(label, at, begin, label_at)
        label, at, begin = found, label_at, i + 1
    yield Part(label, at, begin, end)


def _label_before(text: str, start: int, colon: int, first: bool) -> str:
    """The label that ends at this colon, or an empty string."""
    window = max(start, colon - 2 * _LABEL_SIGNS)
    chunk_start = max([window, *(end.end() for end in _CHUNK_END.finditer(text, window, colon))])
    chunk = text[chunk_start:colon].strip()
    words = chunk.split()
    if not words or re.search(r"[()\[\]{}<>（）\"\\]", chunk) or not re.search(r"\w", chunk):
        return ""
    at_start = first and chunk_start == start
    short = len(words) <= _LABEL_WORDS and len(chunk) <= _LABEL_SIGNS
    if short and (at_start or _known(chunk) or (chunk_start > start and chunk[0].isupper())):
        return chunk
    for size in (2, 1):
        if len(words) > size and (_known(last := " ".join(words[-size:])) or (size == 1 and last[0].isupper())):
            return chunk[chunk.rindex(words[-size]) :] if size == 2 else last
    return ""


def _known(label: str) -> bool:
    key = word_key(label)
    return (
        key in CHARACTER_ELEMENTS
        or key in GENERAL_ELEMENTS
        or key in _PARTS_OF_A_BODY
        or key in _PICTURE
        or key in _NOT_SAID_HERE
        or character_id(key) not in (None, "character_")
        or gender_of(_NUMBERED.sub("", label)) is not None
    )


# Reading


class _Plain:
    """The parts of one text, read in order into a Reading."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.current: Draft | None = None

    def read(self, parts: list[Part]) -> None:
        parts = self._without_settings(parts)
        read = [(part, clause) for part in parts for clause in self._clauses(part)]
        someone = any(
            (part.label and not self._of_a_field(part.label)) or any(people_in(tag.text) for tag in clause.tags)
            for part, clause in read
        )
        for part, clause in read:
            tags = list(clause.tags)
            if part.label:
                self._labelled(part, tags)
            elif clause.shared:
                self.current = None
                self._sort_picture(tags, part.at)
            elif any(people_in(tag.text) for tag in tags):
                self._people(part, tags)
            elif tags and len(self.reading.drafts) > 1 and all(joint_interaction(tag.text) for tag in tags):
                self._together(tags, part.at)
            elif any(field_of_person(tag.text) and not _of_picture(tag.text) for tag in tags):
                if self.current is None and not someone:
                    self._new(part.at)
                    someone = True
                    self.reading.warn(part.at, Message("It is unclear who this is; the tags are read as one person's."))
                elif self.current is not None:
                    message = Message("It is unclear whose tags these are; {id} gets them.", id=self.current.id)
                    self.reading.warn(part.at, message)
                self._sort(tags, part.at)
            else:
                self._sort_picture(tags, part.at)

    def _without_settings(self, parts: list[Part]) -> list[Part]:
        """The parts before a line of another program's settings."""
        for i, part in enumerate(parts):
            if _SETTINGS.match(self.reading.source.text, part.at):
                message = Message("This line of settings is not part of the prompt; it is ignored.")
                self.reading.warn(part.at, message)
                return parts[:i]
        return parts

    def _tags(self, part: Part) -> list[Tag]:
        words = self.reading.source.text[part.start : part.end]
        if part.label and (stop := _STOP.search(words)):
            words = words[: stop.start()]
        return tags_in(self.reading, (Text(words, ((part.start, words, True),)),))

    def _clauses(self, part: Part) -> list[Clause]:
        tags = self._tags(part)
        return [Clause(tuple(tags))] if part.label else clauses(tags)

    def _new(self, offset: int, id: str = "") -> Draft:
        number = len(self.reading.drafts) + 1
        while not id or id in self.reading.drafts:
            id, number = f"character_{number}", number + 1
        self.current = new_draft(self.reading, id, offset)
        return self.current

    @staticmethod
    def _of_a_field(label: str) -> str | None:
        key = word_key(label)
        return _PARTS_OF_A_BODY.get(key) or CHARACTER_ELEMENTS.get(key) or GENERAL_ELEMENTS.get(key) or (
            "picture" if key in _PICTURE else None
        )  # fmt: skip

    def _labelled(self, part: Part, tags: list[Tag]) -> None:
        key, field = word_key(part.label), self._of_a_field(part.label)
        words = self.reading.source.text[part.start : part.end].strip(" \t,，、")
        if key in _NOT_SAID_HERE:
            message = Message("A negative prompt does not belong here. Type it into the negative prompt.")
            raise self.reading.source.error(message, part.at)
        if field == "picture":
            self.current = None
            self._sort_picture(tags, part.at)
        elif field == "name":
            draft = self._new(part.at) if self.current is None or self.current.name else self.current
            draft.name = " ".join(words.split())
        elif field == "bbox" and self.current is not None:
            state_box(self.reading, self.current, words, part.at)
        elif field and (key in CHARACTER_ELEMENTS or key in _PARTS_OF_A_BODY) and self.current is not None:
            if field == "negative":
                self.current.negative += tags
            else:
                self._add(self.current, field, _of_the_body(key, tags), part.at)
        elif field in ("negative", "bbox", "system"):
            message = (
                Message('"{label}" is outside any character. Type it into the negative prompt.', label=part.label)
                if field == "negative"
                else Message('"{label}" is outside any character. Put it after one.', label=part.label)
            )
            raise self.reading.source.error(message, part.at)
        elif field == "interaction":
            self._together(tags, part.at)
        elif field == "caption":
            self.reading.captions += [words] if words else []
        elif field == "spacing":
            self.reading.spacing = " ".join(words.split())
        elif field and field in GENERAL_ELEMENTS:
            add(self.reading.general, field, tags)
        elif field:
            self._add(self._new(part.at), field, _of_the_body(key, tags), part.at)
        else:
            self._named(part)
            self._sort(tags, part.at)

    def _named(self, part: Part) -> None:
        """The character that a label begins, or goes on with."""
        id = character_id(word_key(part.label)) or ""
        if id and id != "character_":
            known = self.reading.drafts.get(id)
            self.current = known or self._new(part.at, id)
            return
        again = next((d for d in self.reading.drafts.values() if d.name and d.name == part.label), None)
        if again is not None:
            self.current = again
            return
        draft = self._new(part.at)
        word, rest = _person_label(_NUMBERED.sub("", part.label))
        if not word or (rest and read_position((rest,))[1]):
            draft.name = " ".join(part.label.split())
            if word:
                draft.gender, draft.gender_stated = gender_of(word), True
            return
        draft.fields["gender"] = [Tag(word)]
        add(draft.fields, "position", [Tag(rest)] if rest else [])

    def _people(self, part: Part, tags: list[Tag]) -> None:
        """A part without a label that has person words."""
        reading = self.reading
        found = [(i, person) for i, tag in enumerate(tags) if (person := people_in(tag.text))]
        together = len(found) > 1 and all(b[0] - a[0] == 1 for a, b in pairwise(found))
        many = sum(count for _, (_, count) in found)
        if together or any(count > 1 for _, (_, count) in found):
            add(reading.general, "count", [tags[i] for i, _ in found])
            if many <= MOST_ALIKE:
                for _, (gender, count) in found:
                    for _ in range(count):
                        add(self._new(part.at).fields, "gender", [Tag(gender)])
            reading.warn(part.at, Message("It is unclear whose tags these are; put each person on a line."))
            self.current = None
            self._sort([tag for tag in tags if not people_in(tag.text)], part.at)
            return
        if len(found) > 1:
            message = Message(
                "This list names {count} people; each word for a person begins a new one.", count=len(found)
            )
            reading.warn(part.at, message)
        # What stands before the first person is that person's too: `blue hair, 1girl`.
        starts = [0, *(i for i, _ in found[1:]), len(tags)]
        for first, last, (at, (gender, _)) in zip(starts, starts[1:], found, strict=False):
            draft = self._new(part.at)
            word = tags[at]
            add(draft.fields, "gender", [word])
            if gender_of(word.text) is None:
                draft.gender, draft.gender_stated = gender, True
            self._sort([tag for i, tag in enumerate(tags[first:last], start=first) if i != at], part.at)

    # Tags into fields

    def _sort(self, tags: list[Tag], offset: int) -> None:
        """Each tag into its field: of the character at hand, or of the whole picture."""
        draft = self.current
        for tag in tags:
            field = field_of_person(tag.text)
            if draft is None or (_of_picture(tag.text) and field != "position"):
                self._sort_picture([tag], offset)
            elif is_language(tag.text) and field != "position":
                add(draft.fields, "other", [tag])
            elif joint_interaction(tag.text):
                add(draft.fields, "interaction", [tag])
            elif field is None and not draft.name and _SERIES.fullmatch(tag.text):
                draft.name = tag.text
                self.reading.warn(offset, Message('"{name}" is read as a name.', name=tag.text))
            elif field is None and people_in(tag.text):
                self._add(draft, "gender", [tag], offset)
            else:
                self._add(draft, field or "other", [tag], offset)

    def _sort_picture(self, tags: list[Tag], offset: int) -> None:
        for tag in tags:
            field = field_of_picture(tag.text)
            if field is None and is_language(tag.text):
                self.reading.captions.append(tag.text)
            elif field is None and joint_interaction(tag.text):
                self._together([tag], offset)
            else:
                add(self.reading.general, field or "other", [tag])

    def _add(self, draft: Draft, field: str, tags: list[Tag], offset: int) -> None:
        if field == "position":
            for tag in tags:
                if tag.weight != 1.0:
                    message = Message('A position takes no weight; that of "{tag}" is ignored.', tag=tag.text)
                    self.reading.warn(offset, message)
            tags = [replace(tag, weight=1.0) for tag in tags]
            check_position(self.reading, tags, offset)
        add(draft.fields, field, tags)

    def _together(self, tags: list[Tag], offset: int) -> None:
        self.reading.interactions.append(StatedInteraction(tuple(tags), None, self.reading.source, offset))


def _of_the_body(label: str, tags: list[Tag]) -> list[Tag]:
    """`hair: aqua` says aqua hair, `头发：蓝色` 蓝色头发."""
    if label not in ("hair", "eyes", "头发", "眼睛"):
        return tags
    between = " " if label.isascii() else ""
    return [tag if label in tag.text else replace(tag, text=f"{tag.text}{between}{label}") for tag in tags]


def _of_picture(text: str) -> bool:
    return field_of_picture(text) is not None


def _person_label(label: str) -> tuple[str, str]:
    """The person word of a label, and the rest: `左边的女孩` -> 女孩, 左边; `girl on the left` -> girl, on the left."""
    words = label.split()
    for i, word in enumerate(words if len(words) > 1 else ()):
        if gender_of(word):
            return word, " ".join([w for w in words[:i] if w.lower() not in ("a", "the")] + words[i + 1 :])
    for size in (len(label), 3, 2, 1):
        if size <= len(label) and gender_of(label[-size:]):
            return label[-size:], label[:-size].rstrip("的")
    return "", ""
