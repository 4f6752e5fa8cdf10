"""What is known of a prompt while it is read, and how one thing said of a character or of the picture is added to it.

A thing said is an element or a JSON key. Its tags, weights, boxes and places are read here; and, once everybody is
known, who does what with whom.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

from ..layout.places import disagreeing, in_fractions, nearest_position, numbers_in, read_position
from ..messages import Message
from ..scene import GRID, Box, Character, Field, Interaction, Lora, Tag
from ..tags import SEPARATORS, PlacedTag, TagError, foreign_syntax, read_tags
from ..words import (
    CHARACTER_ELEMENTS,
    GENERAL_ELEMENTS,
    MAX_NAME,
    NUMBER_WORDS,
    THOUGHTS,
    character_id,
    gender_of,
    genders_in,
    is_field_name,
    is_name,
    is_negative,
    joint_interaction,
    joint_interaction_in,
    nearest,
    word_key,
)
from .document import Source, Warnings
from .markup import Node, Text
from .plain_words import people_in

MAX_CHARACTERS = 64
MAX_TAGS = 4096
MAX_BOXES = 16  # of one character


_FRACTIONS = Message("The bbox is read as fractions of the picture.")
_BOX_FORM = Message("Write left, top, right, bottom from 0 to 1000, as in <bbox>[50, 100, 450, 930]</bbox>.")


@dataclass
class Draft:
    """A character as far as it has been read."""

    id: str
    offset: int
    name: str = ""
    fields: dict[str, list[Tag]] = field(default_factory=dict)
    gender: str | None = None
    gender_stated: bool = False
    boxes: list[Box] = field(default_factory=list)
    box_place: tuple[Source, int] | None = None  # where the first of them is stated
    boxes_of_key: tuple[Source, int] | None = None  # where the template's JSON states them, if it does
    negative: list[Tag] = field(default_factory=list)
    loras: list[Lora] = field(default_factory=list)
    relations: dict[str, tuple[Source, int]] = field(default_factory=dict)  # whom it stands relative to, and where said

    def finished(self) -> Character:
        fields = tuple(Field(name, tuple(tags)) for name, tags in self.fields.items() if tags)
        gender = self.gender if self.gender_stated else stated_gender(fields)
        box, *more = self.boxes or [None]
        negative, loras = tuple(self.negative), tuple(self.loras)
        return Character(self.id, self.name, fields, gender, box, negative, tuple(more), loras)


@dataclass(frozen=True)
class StatedInteraction:
    """An interaction as typed; who takes part is known once everyone has been read."""

    kinds: tuple[Tag, ...]
    between: str | None
    source: Source
    offset: int


@dataclass
class Reading:
    """A prompt being read: its source, and what was found so far."""

    source: Source
    warnings: Warnings
    drafts: dict[str, Draft] = field(default_factory=dict)
    general: dict[str, list[Tag]] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    interactions: list[StatedInteraction] = field(default_factory=list)
    system: str = ""
    spacing: str = ""
    spacing_place: tuple[Source, int] | None = None
    count_place: tuple[Source, int] | None = None
    loras: list[Lora] = field(default_factory=list)
    panels: list[tuple[Source, Node]] = field(default_factory=list)
    settled: list[Interaction] = field(default_factory=list)  # who takes part is known already
    tags: int = 0
    marked_up: bool = False  # elements or JSON, not plain words
    plain: bool = False  # to be read again where it is not marked up, with its labels

    def warn(self, offset: int, message: Message) -> None:
        self.warnings.warn(self.source, offset, message)


def new_draft(reading: Reading, id: str, offset: int) -> Draft:
    if len(reading.drafts) >= MAX_CHARACTERS:
        message = Message("The prompt has more than {limit} characters. Remove some.", limit=MAX_CHARACTERS)
        raise reading.source.error(message, offset)
    draft = reading.drafts[id] = Draft(id, offset)
    return draft


def next_id(reading: Reading) -> str:
    return next(id for n in range(1, MAX_CHARACTERS + 2) if (id := f"character_{n}") not in reading.drafts)


def stated_gender(fields: Sequence[Field]) -> str | None:
    """The first word for a gender in the gender field, or else in the fields that describe the body."""
    tags = {field.name: field.tags for field in fields}
    if "gender" in tags:
        return next((gender for tag in tags["gender"] for gender in genders_in(tag.text)), None)
    words = (tag.text for name in ("other", "appearance", "body_type") for tag in tags.get(name, ()))
    return next(filter(None, map(gender_of, words)), None)


def add(fields: dict[str, list[Tag]], name: str, tags: list[Tag]) -> None:
    if tags:
        fields.setdefault(name, []).extend(tags)


def placed_tags(
    reading: Reading, texts: Sequence[Text], weight: float = 1.0, weights: bool = True
) -> list[PlacedTag]:
    """The tags of these texts, each with its offset in the source."""
    read = ((text, _tags_of(reading, text, weight, weights)) for text in texts)
    return [PlacedTag(tag, text.offset(offset)) for text, tags in read for tag, offset in tags]


def tags_in(reading: Reading, texts: Sequence[Text], weight: float = 1.0, weights: bool = True) -> list[Tag]:
    return [placed.tag for text in texts for placed in _tags_of(reading, text, weight, weights)]


def _tags_of(reading: Reading, text: Text, weight: float, weights: bool) -> tuple[PlacedTag, ...]:
    """Each with its offset in the text."""
    try:
        placed, unpaired = read_tags(text.words, weights, weight, MAX_TAGS - reading.tags + 1)
    except TagError as error:
        raise reading.source.error(error.message, text.offset(error.offset)) from None
    for index in unpaired if weights else ():
        message = Message('The bracket "{bracket}" has no partner; it is kept as typed.', bracket=text.words[index])
        reading.warn(text.offset(index), message)
    for index, message in foreign_syntax(text.words) if weights else ():
        reading.warn(text.offset(index), message)
    reading.tags += len(placed)
    if reading.tags > MAX_TAGS:
        message = Message("The prompt has more than {limit} tags. Shorten it.", limit=MAX_TAGS)
        raise reading.source.error(message, text.offset(placed[-1].offset))
    return placed


def weightless(text: str) -> Message:
    return Message('A position cannot have a weight; the weight of "{text}" is ignored.', text=text)


_WEIGHED_PLACE = re.compile(
    r"[(（\[{]+\s*([^\W\d][\w \-]+?)\s*(?:[:：]\s*[0-9.]+\s*)?[)）\]}]+|([^\W\d][\w \-]+?)\s*[:：]\s*[0-9.]+"
)


def _unweighed(reading: Reading, placed: PlacedTag) -> PlacedTag:
    """A place without the weight around it."""
    text = placed.tag.text
    match = _WEIGHED_PLACE.fullmatch(text)
    words = (match.group(1) or match.group(2)) if match else ""
    if not words or read_position((words,))[1]:
        return placed
    reading.warn(placed.offset, weightless(text))
    return PlacedTag(Tag(words), placed.offset)


def check_gender(reading: Reading, tags: Sequence[PlacedTag], of_one: bool) -> None:
    """A gender field that names none, or more than one, of which the first counts; of_one: it is a character's."""
    named = [genders_in(tag.text) for tag, _ in tags]
    for tag, offset in tags if of_one else ():
        if (people := people_in(tag.text)) and people[1] > 1:
            message = Message(
                '"{text}" is several people, but a character is one person. Write a character for each.', text=tag.text
            )
            reading.warn(offset, message)
    if tags and not any(named):
        message = Message('"{text}" is not a gender. Write girl, boy or other.', text=tags[0].tag.text)
        reading.warn(tags[0].offset, message)
    elif len(several := tuple(dict.fromkeys(gender for genders in named for gender in genders))) > 1:
        message = Message("Several genders are stated ({several}); the first is used.", several=several)
        reading.warn(tags[0].offset, message)


def check_position(reading: Reading, draft: Draft | None, tags: Sequence[PlacedTag]) -> None:
    """What the layout does not understand; who stands relative to whom is remembered with its place."""
    places = {tag.text: offset for tag, offset in reversed(tags)}
    texts = [tag.text for tag, _ in tags]
    place, unknown = read_position(texts)
    if in_fractions(texts):
        reading.warn(tags[0].offset, _FRACTIONS)
    if place.box is None and (pair := disagreeing(texts)):
        message = Message('"{one}" and "{other}" contradict each other; the later is used.', one=pair[0], other=pair[1])
        reading.warn(places[pair[1]], message)
    for text, (_, value) in numbers_in(texts).items() if place.box is None else ():
        message = Message(
            '"{text}" is read as {percent:g}% of the picture. Write the % to be sure.',
            text=text, percent=value * 100 / GRID,
        )  # fmt: skip
        reading.warn(places[text], message)
    for text, offset in places.items() if draft is not None and place.relations else ():
        for relation in read_position((text,))[0].relations:
            draft.relations.setdefault(relation.other, (reading.source, offset))
    for text in unknown:
        offset = places[text]
        near = nearest_position(text)
        message = Message('"{text}" is not a position the layout understands; it is passed on as text only.', text=text)
        if near and near != word_key(text):
            message = Message("{message} Did you mean {near}?", message=message, near=near)
        reading.warn(offset, message)


_NAMED_EDGE = re.compile(
    r"[\"']?([a-z_]{1,6}[0-9]?)[\"']?\s*[=:：]\s*[\"']?(-?[0-9]{1,5}(?:\.[0-9]{1,8})?[%％]?)[\"']?"
)
_EDGE_NAMES = (
    ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("left", "top", "right", "bottom"),
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"),
)  # fmt: skip
_SIZE_NAMES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
EDGES = frozenset(name for names in (*_EDGE_NAMES, *_SIZE_NAMES) for name in names)
AXES = frozenset({"x", "y", "z", "horizontal", "vertical", "side", "height", "depth"})


def box_in(reading: Reading, text: str, offset: int) -> Box:
    """[x0, y0, x1, y1] on the grid, as percentages, or (all of them at most 1) as fractions."""
    numbers = _edges_in(text)
    percents = [number.endswith(("%", "％")) for number in numbers]
    percent = any(percents) and all(of or not number.strip("0.") for of, number in zip(percents, numbers, strict=True))
    try:
        edges = [float(number.rstrip("%％") if percent else number) for number in numbers]
    except ValueError:
        edges = []
    edges = [min(max(edge, -GRID), 2 * GRID) for edge in edges]  # beyond it is beyond; nan stays
    edges = [edge * GRID / 100 for edge in edges] if percent else edges
    return checked_box(reading.source, edges, offset, reading.warnings)


def _edges_in(text: str) -> list[str]:
    """The numbers of a box, as typed, in their order; or by their names, `x1=50 ...`, `x: 50, width: 400 ...`."""
    named = dict(_NAMED_EDGE.findall(text.lower()))
    if not named or _NAMED_EDGE.sub("", text.lower()).strip(f"{SEPARATORS} \t[](){{}}（）【】"):
        return re.split(rf"[\s{SEPARATORS}]+", re.sub(r"[\[\]()（）【】]", " ", text).strip())
    for names in _EDGE_NAMES:
        if named.keys() == set(names):
            return [named[name] for name in names]
    for *corner, across, down in _SIZE_NAMES:
        if named.keys() == {*corner, across, down}:
            ends = zip((named[name] for name in corner), (named[across], named[down]), strict=True)
            return [*(named[name] for name in corner), *(_sum(start, size) for start, size in ends)]
    return []


def _sum(start: str, size: str) -> str:
    unit = "%" if size.endswith(("%", "％")) else ""
    return f"{float(start.rstrip('%％')) + float(size.rstrip('%％')):g}{unit}"


def state_box(reading: Reading, draft: Draft, text: str, offset: int) -> None:
    add_box(reading, draft, box_in(reading, text, offset), offset)


def add_box(reading: Reading, draft: Draft, box: Box, offset: int) -> None:
    """The first is the character's box; further ones are where else it is."""
    if box in draft.boxes:
        return
    if len(draft.boxes) >= MAX_BOXES:
        message = Message("{id} has more than {limit} boxes. Remove some.", id=draft.id, limit=MAX_BOXES)
        raise reading.source.error(message, offset)
    draft.boxes.append(box)
    draft.box_place = draft.box_place or (reading.source, offset)


def checked_box(source: Source, edges: Sequence[float], offset: int, warnings: Warnings) -> Box:
    if len(edges) != 4 or not all(math.isfinite(edge) for edge in edges):
        raise source.error(Message("The bbox is not four numbers. {form}", form=_BOX_FORM), offset)
    if all(0 <= edge <= 1 for edge in edges):
        warnings.warn(source, offset, _FRACTIONS)
        edges = [edge * GRID for edge in edges]
    left, top, right, bottom = edges
    if not all(0 <= edge <= GRID for edge in edges):
        raise source.error(Message("The bbox goes beyond 0..{grid}. {form}", grid=GRID, form=_BOX_FORM), offset)
    if left >= right or top >= bottom:
        message = Message("The bbox is empty. Its left must be less than its right, and its top less than its bottom.")
        raise source.error(message, offset)
    return Box(left, top, right, bottom)


# One thing said, whichever form it was written in

CAPTION_LABEL = re.compile(
    r"\W*(?:natural language )?(?:caption|description|自然语言描述|描述|说明|キャプション)\W{0,3}?[:：]\s*",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'["“]([^"“”]*)["”]\s*,?')
_NAME_ESCAPE = re.compile(r"\\([()\[\]{}（）\\:：,，、;；])")


class Stated(NamedTuple):
    """What an element or a key says."""

    key: str  # as typed
    spelled: str  # as messages show it: <key> or "key"
    texts: tuple[Text, ...]
    offset: int
    weight: float = 1.0
    between: str | None = None

    @property
    def words(self) -> str:
        return "".join(text.words for text in self.texts).strip()

    @property
    def words_at(self) -> int:
        """Where the first of the words stands."""
        said = (text.offset(len(text.words) - len(text.words.lstrip())) for text in self.texts if text.words.strip())
        return next(said, self.offset)


def unescaped_name(text: str) -> str:
    r"""`rem \(re:zero\)` is rem (re:zero), as a tag would be."""
    return _NAME_ESCAPE.sub(r"\1", text) if "\\" in text else text


def picture_field(key: str) -> str | None:
    """The known name of a field of the whole picture, whatever its spelling."""
    return GENERAL_ELEMENTS.get(key.lower()) or (
        "negative" if is_negative(key) else GENERAL_ELEMENTS.get(word_key(key))
    )


def character_field(key: str) -> str | None:
    return CHARACTER_ELEMENTS.get(key.lower()) or (
        "negative" if is_negative(key) else CHARACTER_ELEMENTS.get(word_key(key))
    )


def state_of_picture(reading: Reading, stated: Stated) -> None:
    name = picture_field(stated.key)
    if name == "interaction":
        kinds = tuple(tags_in(reading, stated.texts))
        reading.interactions.append(StatedInteraction(kinds, stated.between, reading.source, stated.offset))
    elif name == "caption":
        reading.captions += [stated.words] if stated.words else []
    elif name == "spacing":
        reading.spacing, reading.spacing_place = stated.words, (reading.source, stated.words_at)
    elif name == "system":
        reading.system = "\n".join(filter(None, [reading.system, stated.words]))
    elif name == "negative":
        if stated.words:
            message = Message(
                "{element} is outside any character. Put it inside one, or use the negative prompt.",
                element=stated.spelled,
            )
            raise reading.source.error(message, stated.offset)
    else:
        refuse_misspelt_character(reading, stated.key, stated.spelled, stated.offset)
        _add_field(reading, None, reading.general, stated, name, GENERAL_ELEMENTS)


def caption_of(words: str) -> str:
    """The caption without a label that a language model put before it, and the quotes of one."""
    while label := CAPTION_LABEL.match(words):
        words = words[label.end() :].strip()
        quoted = _QUOTED.fullmatch(words)
        words = quoted.group(1).strip() if quoted else words
    return words


def state_of_character(reading: Reading, draft: Draft, stated: Stated) -> None:
    name = character_field(stated.key)
    if name == "name":
        words = unescaped_name(stated.words)
        if draft.name and words and words != draft.name:
            reading.warn(stated.offset, Message("{id} has two names; both are kept.", id=draft.id))
            words = f"{draft.name}, {words}"
        draft.name = words or draft.name
    elif name == "bbox":
        if stated.words:
            state_box(reading, draft, stated.words, stated.offset)
    elif name == "negative":
        draft.negative += tags_in(reading, stated.texts, stated.weight)
    else:
        _add_field(reading, draft, draft.fields, stated, name, CHARACTER_ELEMENTS)


def _add_field(
    reading: Reading,
    draft: Draft | None,
    fields: dict[str, list[Tag]],
    stated: Stated,
    name: str | None,
    known: Mapping[str, str],
) -> None:
    if name is None:
        if word_key(stated.key) in THOUGHTS:
            message = Message("This is a language model's reasoning, not part of the prompt; it is ignored.")
            reading.warn(stated.offset, message)
            return
        if not is_field_name(stated.key, known):
            raise reading.source.error(not_a_field(stated.key), stated.offset)
        _warn_unknown(reading, stated, known)
    name = name or stated.key
    if name == "count" and draft is None:
        reading.count_place = reading.count_place or (reading.source, stated.words_at)
    if fields.get(name):
        message = Message("{element} appears more than once; all of its tags are kept.", element=stated.spelled)
        reading.warn(stated.offset, message)
    if name not in ("position", "gender"):
        add(fields, name, tags_in(reading, stated.texts, stated.weight))
        return
    position = name == "position"
    tags = placed_tags(reading, stated.texts, 1.0 if position else stated.weight, weights=not position)
    tags = [_unweighed(reading, placed) for placed in tags] if position else tags
    add(fields, name, [placed.tag for placed in tags])
    if position:
        check_position(reading, draft, tags)
    else:
        check_gender(reading, tags, of_one=draft is not None)


def not_a_field(name: str) -> Message:
    if is_name(name):
        return Message('"{name}" is a reserved word and can\'t name a field. Choose another name.', name=name)
    return Message(
        '"{name}" can\'t name a field. Use letters, digits and underscores, up to {limit}.', name=name, limit=MAX_NAME
    )


def refuse_misspelt_character(reading: Reading, key: str, spelled: str, offset: int) -> None:
    """It would be lost among the fields."""
    if looks_like_character(key):
        number = re.search("[1-9][0-9]*", key) or re.search("|".join(NUMBER_WORDS), key.lower())
        id = f"character_{NUMBER_WORDS.get(number.group(), number.group())}" if number else ""
        if not id or id in reading.drafts:  # the first that nobody has
            taken = set(re.findall("character_[0-9]+", reading.source.text))
            id = next(free for n in count(1) if (free := f"character_{n}") not in taken)
        message = Message(
            "{element} looks like a misspelt {id}. Write {id}; every character has a number of its own.",
            element=spelled,
            id=id,
        )
        raise reading.source.error(message, offset)


def looks_like_character(key: str) -> bool:
    return key.lower() not in GENERAL_ELEMENTS and bool(nearest(key, ["character_1"], 0.8))


def _warn_unknown(reading: Reading, stated: Stated, known: Mapping[str, str]) -> None:
    key, said = stated.key.lower(), {"element": stated.spelled}
    message = Message("{element} is not a known field; it is kept as typed.", **said)
    if key in CHARACTER_ELEMENTS:
        message = Message("{element} describes a person but is in no character; the whole picture gets it.", **said)
    elif key in GENERAL_ELEMENTS:
        message = Message("{element} describes the picture but is in a character; that character gets it.", **said)
    elif near := nearest(stated.key, known):
        message = Message("{message} Did you mean {near}?", message=message, near=near)
    reading.warn(stated.offset, message)


# Who does what with whom: interactions stated for the scene, and those that a character's own words name.

_COMMAS = re.compile(r"[,，、;；|&+]")
_AND = re.compile(r"(?:and|和|与|與|及|と|with)", re.IGNORECASE)
_INNER_AND = re.compile("[和与與と]")
_EVERYONE = re.compile(
    r"\b(?:everyone|everybody|all|both|together|each other)\b|大家|所有人|一起|互相|みんな|全員", re.IGNORECASE
)
_PARENS = re.compile(r"_*([()])_*")
_SERIES = re.compile(r"[(（].*$")
_SIGNS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_LETTER = "[a-z0-9\u00df-\u024f]"  # of a word in Latin letters, which may stand between Chinese signs
_NUMBERED = re.compile("(?:角色|人物|キャラクター|キャラ)_?(?:[0-9]{1,2}|[一二三四五六七八九十])")
_LONGEST_NAME = 12  # words
_SHORTEST = 2  # of a word that names somebody, unless it is a capital letter


def name_key(name: str) -> str:
    """How names are compared: as words, and whatever stands around their parentheses."""
    return _PARENS.sub(r"\1", word_key(unescaped_name(name)))


def interactions_of(reading: Reading, characters: Sequence[Character]) -> tuple[Interaction, ...]:
    everyone = tuple(character.id for character in characters)
    found: list[Interaction] = []
    for stated in reading.interactions:
        for tag in _with_names_before(stated.kinds, characters):
            if tag.weight != 1.0:
                message = Message(
                    'An interaction cannot have a weight; the weight of "{kind}" is ignored.', kind=tag.text
                )
                reading.warnings.warn(stated.source, stated.offset, message)
            if stated.between is None:
                _warned_of_absent(reading, tag.text, everyone, stated.offset)
            if stated.between is not None:
                ids = _between(reading, stated, characters)
            else:
                ids = _named(reading, stated, tag.text, characters) if len(everyone) > 2 else everyone
            found.append(Interaction(tag.text, ids))
    found += reading.settled
    known = {(_kind(act.kind), frozenset(act.between)) for act in found}
    for character in characters:
        for tag in character.tags("interaction"):
            if _warned_of_absent(reading, tag.text, everyone, reading.drafts[character.id].offset) or len(everyone) < 2:
                continue
            kind = joint_interaction_in(tag.text)
            others = [id for _, id in _names_in(tag.text, characters) if id != character.id]
            pair = everyone if len(characters) == 2 else tuple(dict.fromkeys((character.id, *others)))
            if kind and len(pair) > 1 and (kind, frozenset(pair)) not in known:
                known.add((kind, frozenset(pair)))
                found.append(Interaction(kind, pair))
    return tuple(dict.fromkeys(found))


_ID = re.compile(
    r"(?<![a-z])(?:character|char)[_ -]?[0-9]{1,2}(?![0-9])|(?:角色|人物|キャラ(?:クター)?)_?[0-9]{1,2}", re.I
)


def _warned_of_absent(reading: Reading, text: str, everyone: Sequence[str], offset: int) -> bool:
    """Whether the words name a character by an id that nobody has."""
    ids = dict.fromkeys(character_id(found.replace(" ", "_")) for found in _ID.findall(text))
    absent = next((id for id in ids if id not in everyone), None)
    if absent:
        message = Message('"{text}" names {id}, who is not in the prompt.', text=text, id=absent)
        reading.warn(offset, message)
    return bool(absent)


def _with_names_before(kinds: Sequence[Tag], characters: Sequence[Character]) -> Iterator[Tag]:
    """`miku, kaito: hug` is one interaction: a tag that is but a name belongs to the next."""
    names = {character.id for character in characters} | {name_key(character.name) for character in characters}
    before = ""
    for i, tag in enumerate(kinds):
        if name_key(tag.text) in names and i + 1 < len(kinds):
            before += f"{tag.text}, "
        else:
            yield replace(tag, text=before + tag.text)
            before = ""


def _kind(text: str) -> str:
    return joint_interaction(text) or next(filter(None, map(joint_interaction, text.split())), word_key(text))


def _named(reading: Reading, stated: StatedInteraction, text: str, characters: Sequence[Character]) -> tuple[str, ...]:
    """`miku hugs kaito` is between these two, not among everyone."""
    everyone = tuple(character.id for character in characters)
    ids = tuple(dict.fromkeys(id for _, id in sorted(_names_in(text, characters))))
    if len(ids) > 1 and not _EVERYONE.search(text):
        return ids
    if len(ids) == 1 and not _EVERYONE.search(text):
        message = Message(
            '"{text}" names only one character, so everyone takes part. To choose, write between="...".', text=text
        )
        reading.warnings.warn(stated.source, stated.offset, message)
    return everyone


def _names_in(text: str, characters: Sequence[Character]) -> Iterator[tuple[int, str]]:
    """Where in running text a character is named: by id, by name, or by a word that one name alone has."""
    key = _NUMBERED.sub(lambda id: f"_{character_id(id.group())}_", f"_{name_key(text)}_")
    words: dict[str, list[str]] = {}
    for character in characters:
        whole = name_key(character.name)
        parts = {part for part in name_key(_SERIES.sub("", character.name)).split("_") if len(part) > _SHORTEST}
        for word in {whole, name_key(_SERIES.sub("", character.name)), character.id, *parts}:
            words.setdefault(word, []).append(character.id)
    for word, ids in words.items():
        if len(ids) > 1 or not word:
            continue
        if _SIGNS.search(word):
            at = key.find(word) if len(word) >= _SHORTEST else -1
        elif len(word) == 1:  # `A hugs B`, but not the article
            letter = re.search(rf"(?<!\w){re.escape(word.upper())}(?!\w)", text) if word.isalpha() else None
            at = letter.start() if letter else -1
        else:
            match = re.search(rf"(?<!{_LETTER}){re.escape(word)}(?:['’]s)?(?![a-z0-9])", key)
            at = match.start() if match else -1
        if at >= 0:
            yield at, ids[0]


def _by_short_name(characters: Sequence[Character]) -> dict[str, str]:
    """The ids by names without their series, `rem` for rem_(re:zero), where one character alone has that."""
    short = [name_key(_SERIES.sub("", character.name)) for character in characters]
    return {
        name: character.id
        for name, character in zip(short, characters, strict=True)
        if name and short.count(name) == 1
    }


def _between_words(part: str, known: Callable[[str], str | None]) -> Iterator[str]:
    """The names in words without a comma: at each place the longest that is known."""
    words, at = part.split(), 0
    while at < len(words):
        sizes = range(min(len(words) - at, _LONGEST_NAME), 0, -1)
        size = next((size for size in sizes if known(" ".join(words[at : at + size]))), 0)
        if size:
            yield " ".join(words[at : at + size])
        elif not _AND.fullmatch(words[at]):
            yield from filter(None, map(str.strip, _INNER_AND.split(words[at])))
        at += size or 1


def several_named(name: str, ids: tuple[str, ...]) -> Message:
    """For a name that more than one character has."""
    return Message('"{name}" is the name of {ids}; {id} is used. Write an id to choose.', name=name, ids=ids, id=ids[0])


def _between(reading: Reading, stated: StatedInteraction, characters: Sequence[Character]) -> tuple[str, ...]:
    """The ids that the attribute names, by id or by name. Names may have spaces, also where no commas stand between."""
    everyone = {character.id: character.id for character in characters}
    named: dict[str, tuple[str, ...]] = {}
    for character in characters if stated.between else ():
        key = name_key(character.name)
        named[key] = (*named.get(key, ()), character.id)
    ids = _by_short_name(characters) | {key: id for key, (id, *_) in named.items() if key} | everyone

    def known(word: str) -> str | None:
        return ids.get(name_key(word)) or ids.get(character_id(word) or "") or ids.get(f"character_{word.strip()}")

    found: list[str] = []
    for part in filter(None, map(str.strip, _COMMAS.split(unescaped_name(stated.between or "")))):
        if all(word in everyone for word in part.split()):
            words = part.split()  # as to_xml writes them, whatever names look like ids
        else:
            words = [part] if known(part) else _between_words(part, known)
        for word in words:
            id = known(word)
            if id is None:
                listed = tuple(character.id for character in characters[:8])
                if listed:
                    message = Message(
                        'The interaction names "{name}", but the characters are {listed}.', name=word, listed=listed
                    )
                else:
                    message = Message('The interaction names "{name}", but the prompt has no characters.', name=word)
                raise stated.source.error(message, stated.offset)
            found.append(id)
            if word not in everyone and len(several := named.get(name_key(word), ())) > 1:
                reading.warnings.warn(stated.source, stated.offset, several_named(word, several))
    if len(set(found)) < 2:
        message = Message(
            "An interaction needs at least two characters. "
            'Write between="character_1 character_2", or leave it out for everyone.'
        )
        raise stated.source.error(message, stated.offset)
    return tuple(dict.fromkeys(found))
