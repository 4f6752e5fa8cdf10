"""Text -> Scene. Every mistake is a PromptError with its place; everything guessed or repaired is a warning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from ..layout.boxes import place_of
from ..layout.places import meant_by, read_position, strangers
from ..layout.side_by_side import read_spacing
from ..messages import Message
from ..scene import GRID, Box, Field, Lora, PromptError, Scene, Tag
from ..tags import MAX_WEIGHT, MIN_WEIGHT, SEPARATORS, tag_list
from ..words import (
    GENERAL_BLOCK,
    LORA_ELEMENTS,
    ROOTS,
    UNSTATED,
    character_id,
    gender_of,
    genders_in,
    is_field_name,
    is_negative,
    is_panel,
    is_person,
    speaks_of_person,
    word_key,
)
from .document import Document, Warnings, find_document, source_of
from .fields import (
    AXES,
    CAPTION_LABEL,
    EDGES,
    Draft,
    Reading,
    Stated,
    add,
    box_in,
    caption_of,
    character_field,
    interactions_of,
    looks_like_character,
    new_draft,
    next_id,
    picture_field,
    several_named,
    state_box,
    state_of_character,
    state_of_picture,
    tags_in,
    unescaped_name,
)
from .markup import LORA, Node, Text, read_markup
from .plain_words import is_counted, people_in, several_in

# A run without a comma is language, not a tag, if it has so many words or Chinese characters, or ends like a sentence.
SENTENCE_WORDS, SHORT_SENTENCE_WORDS, SENTENCE_SIGNS = 6, 3, 16

_CHINESE_END = re.compile(r"[。！？]")
_ENGLISH_END = re.compile(r"\w[\"')]*[.!?](?=\s|$)")
_CHINESE = re.compile("[\u3400-\u9fff]")
_LABELLED_LINE = re.compile(
    r"^[ \t\W]{0,8}?(?P<label>[^\W\d][\w \-]{0,30}?)[\"*_\s]{0,4}[:：][ \t*_]*(?P<words>[^\n]*\S)[ \t]*$", re.MULTILINE
)
_PLACEHOLDER = re.compile(r"\$character_[0-9]+\$")  # the template's own
_NUMBER_BEHIND = re.compile(r"[_\-]?(?:[0-9]{1,2}|[a-d]|[一二三四五六])$", re.IGNORECASE)
_NUMBERED_CHARACTER = re.compile("character[_ -]?[0-9]|(?:角色|人物|キャラ|캐릭터)_?[一二三0-9]", re.IGNORECASE)
_MANY = ("s", "men", "们", "們", "たち", "達")
_DIVIDER = re.compile(rf"(?:BREAK|AND|[\s{SEPARATORS}|·*=#_.~/\-—–])+")
_RUN = re.compile(f"[^{re.escape(SEPARATORS)}]+")


def parse(text: str) -> Scene:
    """The scene that a prompt describes: XML in all its forms, the template's JSON, plain tags or plain language.

    Raises PromptError, and nothing else, for text that can't be read.
    """
    reading, _ = read_prompt(text)
    if not reading.marked_up:
        _warn_of_people(reading, text)
    return scene_of(reading)


def _warn_of_people(reading: Reading, text: str) -> None:
    """Plain words that describe several people are one list of tags here, which keeps nobody apart."""
    from .plain import convert  # it begins with what is read here

    try:
        people = len(convert(text).characters)
    except PromptError:
        return
    if people > 1:
        message = Message(
            "This plain text describes {people} people but is read as one list of tags. "
            "NewBie Text to XML makes a character of each.",
            people=people,
        )
        reading.warn(0, message)


def read_prompt(text: str, plain: bool = False) -> tuple[Reading, Document]:
    """plain: words without any element are read again, with their labels."""
    source, warnings = source_of(text), Warnings()
    document = find_document(source, warnings)
    reading = Reading(document.source, warnings, system=document.system, plain=plain)
    if document.is_json:
        from .template import read_template  # it reads elements, too

        read_template(reading, document)
    else:
        read_body(reading, document.start, document.end)
    if reading.panels:
        from .panels import read_panels

        read_panels(reading)
    return reading, document


def scene_of(reading: Reading) -> Scene:
    characters = tuple(draft.finished() for draft in reading.drafts.values())
    general = tuple(Field(name, tuple(tags)) for name, tags in reading.general.items() if tags)
    interactions = interactions_of(reading, characters)
    if not (characters or general or reading.captions or interactions or reading.loras):
        reading.warn(0, Message("The prompt has no content."))
    caption = caption_of(" ".join(filter(None, reading.captions)))
    scene = Scene(
        characters, general, caption, reading.system, interactions, reading.spacing, loras=tuple(reading.loras)
    )
    warn_of_what_layout_ignores(reading, scene)
    warn_of_count(reading, scene)
    return replace(scene, warnings=reading.warnings.sorted())


def _disagree(box: Box, position: Sequence[Tag]) -> bool:
    """Whether the words say one side, and the box is not on it."""
    side, middle = read_position(tag.text for tag in position)[0].side, box.left + box.right
    return ("left" in side and middle >= GRID) or ("right" in side and middle <= GRID)


def warn_of_what_layout_ignores(reading: Reading, scene: Scene) -> None:
    """A spacing that is no spacing, and someone who stands beside nobody in the scene; both are kept as typed."""
    if scene.spacing and read_spacing(scene.spacing) is None:
        message = Message(
            'The spacing "{spacing}" is not understood. Write box widths (2), a percentage (30%) or metres (1.5m).',
            spacing=scene.spacing,
        )
        reading.warnings.warn(*reading.spacing_place, message)
    for id, draft in reading.drafts.items():
        if draft.box_place and _disagree(draft.boxes[0], draft.fields.get("position", ())):
            message = Message("The bbox and the position of {id} disagree; the bbox is used.", id=id)
            reading.warnings.warn(*draft.box_place, message)
    places = [place_of(character) for character in scene.characters]
    unmet = strangers(scene, places)
    for index, place in enumerate(places):
        for name in dict.fromkeys(relation.other for relation in place.relations):
            id = scene.characters[index].id
            meant = tuple(scene.characters[i].id for i in meant_by(scene.characters, name, index))
            if not meant:
                message = Message(
                    '{id} is placed relative to "{name}", but no character has that name.', id=id, name=name
                )
            elif (index, name) in unmet:
                message = Message(
                    '"{name}" may be any of {meant}, so it is ignored. Write an id.', name=name, meant=meant
                )
            elif len(meant) > 1:
                message = several_named(name, meant)
            else:
                continue
            reading.warnings.warn(*reading.drafts[id].relations[name], message)


def warn_of_count(reading: Reading, scene: Scene) -> None:
    """A count that disagrees with the characters: who has no block is kept apart from nobody."""
    if reading.count_place is None or reading.panels or not scene.characters:
        return
    tags = scene.tags("count")
    counted = sum(people[1] for tag in tags if is_counted(tag.text) and (people := people_in(tag.text)))
    together = [people[1] for tag in tags if not people_in(tag.text) and (people := several_in(tag.text))]
    alone = any(word_key(tag.text) in ("solo", "1人", "单人", "一人") for tag in tags)
    numbers = [int(tag.text) for tag in tags if re.fullmatch("[0-9]{1,2}", tag.text)]
    stated = max([counted, *together, *numbers, int(alone)])
    people = sum(character.gender in ("girl", "boy") for character in scene.characters)
    if stated and not people <= stated <= len(scene.characters):
        message = Message(
            'The count says "{count}", but the number of characters is {number}. Make the two agree.',
            count=tag_list(tags), number=len(scene.characters),
        )  # fmt: skip
        reading.warnings.warn(*reading.count_place, message)


# Elements and the words between them -> what is known of the scene and its characters.


def read_body(reading: Reading, start: int, end: int) -> None:
    noted = Warnings()
    root = apart_from_loras(reading, read_markup(reading.source, start, end, noted), reading.loras)
    if root.children:  # without any element nothing was repaired: `&` and `<3` are words there
        reading.warnings.extend(noted)
        reading.marked_up = True
    read_general(reading, root, beside=bool(root.children))


def apart_from_loras(reading: Reading, node: Node, loras: list[Lora]) -> Node:
    """The node without its LoRAs, which are added to the list. Most prompts name none."""
    text = reading.source.text.lower()
    return take_loras(reading, node, loras) if any(name in text for name in LORA_ELEMENTS) else node


def is_language(text: str) -> bool:
    """Whether words outside of any element are sentences rather than a list of tags."""

    def sentence(run: str) -> bool:
        words = SHORT_SENTENCE_WORDS if _ENGLISH_END.search(run) else SENTENCE_WORDS
        return len(run.split()) >= words or len(_CHINESE.findall(run)) >= SENTENCE_SIGNS

    return bool(_CHINESE_END.search(text)) or any(map(sentence, _RUN.findall(text)))


def read_general(reading: Reading, node: Node, beside: bool) -> None:
    """What stands in a root, in general_tags, or in no element at all. beside: words here stand beside elements."""
    for part in node.content:
        if isinstance(part, Text):
            if not part.words.isspace():
                _read_stray(reading, part, beside)
        elif character_id(part.name):
            _read_character(reading, part)
        else:
            _read_general_element(reading, part)


def _read_stray(reading: Reading, text: Text, beside: bool) -> None:
    """Words outside any element. A line that a label begins (`caption: ...`) is what the element of this name says."""
    start = 0
    for line in _LABELLED_LINE.finditer(text.words):
        name = picture_field(line["label"]) or ("caption" if CAPTION_LABEL.match(f"{line['label']}:") else None)
        if name is None or not (beside or (name in ("caption", "negative") and not reading.plain)):
            continue
        if name == "negative":
            message = Message("A negative prompt does not belong here. Type it into the negative prompt.")
            raise reading.source.error(message, text.offset(line.start("label")))
        _read_loose(reading, text.part(start, line.start()), beside)
        value = text.part(line.start("words"), line.end("words"))
        if name == "caption":
            reading.captions.append(caption_of(f"caption: {value.words}"))
        else:
            state_of_picture(reading, Stated(line["label"], line["label"], (value,), text.offset(line.start("label"))))
        start = line.end()
    _read_loose(reading, text.part(start, len(text.words)), beside)


def _read_loose(reading: Reading, text: Text, warn: bool) -> None:
    words = text.words.strip()
    if not words:
        return
    if warn:
        offset = text.offset(len(text.words) - len(text.words.lstrip()))
        if _DIVIDER.fullmatch(words):
            if words.strip(f"{SEPARATORS} "):
                reading.warn(offset, Message("{text} between elements divides nothing; it is ignored.", text=words))
            return
        reading.warn(offset, Message("This text is outside any element; it is read as part of the whole picture."))
    if is_language(words):
        reading.captions.append(words)
    else:
        add(reading.general, "other", tags_in(reading, (text,)))


def _read_general_element(reading: Reading, node: Node) -> None:
    key = node.name.lower()
    name = picture_field(key)
    if key in ROOTS or key in GENERAL_BLOCK:
        node = _with_attributes_inside(node, lambda attribute: picture_field(attribute) is not None)
        _attributes(reading, node, ())
        read_general(reading, node, beside=bool(node.children))
    elif name is None and node.children and is_panel(node.name):
        reading.panels.append((reading.source, node))
    elif name is None and _is_person(node) and not _is_topic(reading, node):
        _read_named_character(reading, node)
    elif name is None and node.children and not _own_words(node) and not looks_like_character(node.name):
        _read_unknown_frame(reading, node)
        read_general(reading, node, beside=True)
    elif name == "interaction" and (acts := _acts_in(node)):
        for act in acts:
            _read_general_element(reading, act)
    else:
        node = _whose_act(node) if name == "interaction" else node
        stated, beside = _stated(reading, node, _LEAVES_OF_PICTURE.get(name or ""))
        state_of_picture(reading, stated)
        for child in beside:
            if character_id(child.name):
                raise _inside(reading, child, node.name)
            _read_general_element(reading, _named_within(child, node, picture_field))


def _own_words(node: Node) -> bool:
    return any(text.words.strip() for text in node.texts)


def _is_person(node: Node) -> bool:
    """Whether an element of another name is a character: `<girl_1>`, `<main_character>`, or by what is said in it."""
    if _gender_in(node.name) or is_person(node.name):
        return True
    said = {*(child.name for child in node.children), *node.attributes}
    return speaks_of_person(said) and not looks_like_character(node.name) and not _holds_characters(node)


def _is_topic(reading: Reading, node: Node) -> bool:
    """`<subject>two friends</subject>` beside numbered characters is what the picture is about."""
    named = node.children or node.attributes or _gender_in(node.name)
    return not named and _NUMBERED_CHARACTER.search(reading.source.text) is not None


def _holds_characters(node: Node) -> bool:
    return any(character_id(child.name) or _holds_characters(child) for child in node.children)


def _gender_in(name: str) -> str | None:
    """`<girl_1>` says who somebody is, and no name; `<girls>` are nobody in particular."""
    word = _NUMBER_BEHIND.sub("", name)
    return None if word.lower().endswith(_MANY) else gender_of(word)


def _named_within(child: Node, node: Node, field: Callable[[str], str | None]) -> Node:
    """`<tips>` inside `<hair>` becomes hair_tips, where neither is known: its name alone would not say of what."""
    if field(child.name) or field(node.name) or character_id(child.name) or child.name.lower() in GENERAL_BLOCK:
        return child
    name = f"{node.name}_{child.name}"
    return replace(child, name=name) if is_field_name(name, {}) else child


def _with_whole_names(node: Node) -> Node:
    """`<hair> <color>red</color> </hair>`: hair_color, as red alone could be anything's color."""
    return replace(node, content=tuple(
        replace(part, name=f"{node.name}_{part.name}")
        if isinstance(part, Node) and part.name.lower() in _ASPECTS and is_field_name(f"{node.name}_{part.name}", {})
        else part
        for part in node.content
    ))  # fmt: skip


# Characters


def _read_named_character(reading: Reading, node: Node) -> None:
    """`<saber> <gender>1girl</gender> ... </saber>`, as some tools write it."""
    id = next_id(reading)
    message = Message("{element} describes a person; it is read as <{id}>.", element=node.spelled, id=id)
    reading.warn(node.offset, message)
    draft = new_draft(reading, id, node.offset)
    _read_character_content(reading, draft, node)
    gender = _gender_in(node.name)
    if gender and not draft.gender_stated and "gender" not in draft.fields:
        draft.gender, draft.gender_stated = gender, True
    elif not gender and not is_person(node.name):
        draft.name = draft.name or node.name.strip()


def _read_character(reading: Reading, node: Node) -> None:
    id = character_id(node.name) or ""
    if id == "character_":
        stated = node.attributes.get("id", "")
        id = character_id(stated) or character_id(f"character_{stated}") or id
    if id == "character_":
        id = next_id(reading)
        message = Message("{element} has no number; it is read as <{id}>.", element=node.spelled, id=id)
        reading.warn(node.offset, message)
    if id in reading.drafts and not node.is_key:
        line, column = reading.source.place(reading.drafts[id].offset)
        message = Message(
            "{id} appears twice, first at line {line}, column {column}. Give this one another number.",
            id=id, line=line, column=column,
        )  # fmt: skip
        raise reading.source.error(message, node.offset)
    _read_character_content(reading, reading.drafts.get(id) or new_draft(reading, id, node.offset), node)


_OF_CHARACTERS = ("id", "name", "gender", "bbox")
_TECHNICAL_WORDS = "class key lang no num number order ref role type version index weight strength"
_TECHNICAL = frozenset(_TECHNICAL_WORDS.split())


def _with_attributes_inside(node: Node, says: Callable[[str], bool]) -> Node:
    """`<character_1 position="left">` is `<character_1> <position>left</position>`, where an attribute says a thing."""
    inside = {
        name: Node(name, {}, node.offset, (Text.at(node.offset, value),))
        for name, value in node.attributes.items()
        if name.lower() not in _TECHNICAL and says(name.lower())
    }
    others = {name: value for name, value in node.attributes.items() if name not in inside}
    return replace(node, attributes=others, content=(*inside.values(), *node.content)) if inside else node


def _with_its_place(node: Node) -> Node:
    """`<character_1 x="50" y="100" width="400" height="850">` states a box, and x and y alone a position."""
    numbers = {name: value for name, value in node.attributes.items() if name.lower() in EDGES}
    stated = "bbox" if len(numbers) == 4 else "position" if {"x", "y"} == set(map(str.lower, numbers)) else ""
    if not stated or stated in node.attributes:
        return node
    others = {name: value for name, value in node.attributes.items() if name not in numbers}
    return replace(node, attributes=others | {stated: ", ".join(f"{name}={v}" for name, v in numbers.items())})


def _read_character_content(reading: Reading, draft: Draft, node: Node) -> None:
    """Its attributes, and what stands in it."""
    node = apart_from_loras(reading, node, draft.loras)
    node = _with_its_place(node)
    node = _with_attributes_inside(node, lambda name: name not in _OF_CHARACTERS and not is_negative(name))
    draft.name = draft.name or unescaped_name(node.attributes.get("name", "").strip())
    attributes = _attributes(reading, node, _OF_CHARACTERS, is_negative)
    for words in (value for key, value in attributes.items() if is_negative(key)):
        draft.negative += tags_in(reading, (Text.at(node.offset, words),))
    if attributes.get("bbox", "").strip():
        state_box(reading, draft, attributes["bbox"], node.offset)
    if "gender" in attributes:
        _read_stated_gender(reading, draft, attributes["gender"], node.offset)
    _read_character_parts(reading, draft, node)


def _read_stated_gender(reading: Reading, draft: Draft, value: str, offset: int) -> None:
    """The attribute to_xml writes where no word of the character says its gender."""
    draft.gender = next(iter(genders_in(value)), None)
    draft.gender_stated = draft.gender is not None or value == UNSTATED
    if not draft.gender_stated:
        reading.warn(offset, Message('gender="{value}" is not known. Write girl, boy or other.', value=value))


def _read_character_parts(reading: Reading, draft: Draft, node: Node) -> None:
    for part in node.content:
        if isinstance(part, Text):
            if not part.words.isspace():
                add(draft.fields, "other", tags_in(reading, (part,)))
        else:
            _read_character_element(reading, draft, part)


def _read_character_element(reading: Reading, draft: Draft, node: Node) -> None:
    key = node.name.lower()
    if character_id(node.name) or key in GENERAL_BLOCK:
        raise _inside(reading, node, draft.id)
    name = character_field(key)
    if name is None and node.children and is_panel(node.name):
        reading.panels.append((reading.source, node))
        return
    if name is None and node.children and not _own_words(node) and not node.is_key:
        _read_unknown_frame(reading, node)
        _read_character_parts(reading, draft, _with_whole_names(node))
        return
    if name == "interaction":
        node = _with_its_object(node)
    elif name in _IN_PARTS:
        node = _in_parts(node, _IN_PARTS[name])
    stated, beside = _stated(reading, node, _LEAVES_OF_CHARACTER.get(name or ""))
    if node.is_key and name in ("name", "bbox") and stated.words:
        completed = _completed(reading, draft, node, name, stated.words)
    else:
        completed = False
    if not completed and (stated.words or not beside):
        state_of_character(reading, draft, stated)
    for child in beside:
        _read_character_element(reading, draft, _named_within(child, node, character_field))


_IN_PARTS = {"bbox": EDGES, "position": AXES}


def _in_parts(node: Node, names: Collection[str]) -> Node:
    """`<bbox x="50" y="100" width="400" height="850"/>`, `<position> <x>30%</x> </position>`: all of it in words."""
    parts = [*node.attributes.items(), *((child.name, _words_in(child)) for child in node.children)]
    if not parts or _own_words(node) or not set(names).issuperset(name.lower() for name, _ in parts):
        return node
    said = (f"{name}={value}" if re.match("-?[0-9.]", value) else value for name, value in parts)
    return replace(node, attributes={}, content=(Text.at(node.offset, ", ".join(said)),))


def _words_in(node: Node) -> str:
    return "".join(text.words for text in node.all_texts).strip()


def _completed(reading: Reading, draft: Draft, node: Node, name: str, words: str) -> bool:
    """Whether the XML has said already what the template's JSON repeats. Where they differ, the XML counts."""
    if name == "name" and draft.name:
        if draft.name != unescaped_name(words) and not _PLACEHOLDER.fullmatch(words):
            message = Message("{id} already has another name; this one is ignored.", id=draft.id)
            reading.warn(node.offset, message)
        return True
    if name == "bbox" and draft.boxes and not draft.boxes_of_key:
        if box_in(reading, words, node.offset) not in draft.boxes:
            message = Message("{id} already has another box; this one is ignored.", id=draft.id)
            reading.warn(node.offset, message)
        return True
    draft.boxes_of_key = draft.boxes_of_key or ((reading.source, node.offset) if name == "bbox" else None)
    return False


# Who does what with whom, in however many parts it is written: `<interaction from="a" to="b">`, `<type>hug</type>`.

_ACT_KINDS = frozenset({"type", "kind", "action", "interaction", "tag", "text", "name", "value", "description"})
_ACT_ENDS = (("from", "to"), ("source", "target"), ("subject", "object"), ("actor", "target"))
_ACT_MEMBERS = ("between", "characters", "character", "participants", "participant", "who", "with", "target", "targets")
_OF_ACTS = frozenset({*_ACT_MEMBERS, *(end for ends in _ACT_ENDS for end in ends)})


def _acts_in(node: Node) -> tuple[Node, ...]:
    """The interactions inside of `<interactions>`."""
    named = ((child, picture_field(_NUMBER_BEHIND.sub("", child.name))) for child in node.children)
    acts = (replace(child, name="interaction") for child, name in named if name == "interaction")
    return () if _own_words(node) else tuple(acts)


def _whose_act(node: Node) -> Node:
    """The interaction with its kind as its words, and who takes part in its attribute `between`."""
    said: dict[str, list[str]] = {}
    for name, value in node.attributes.items():
        said.setdefault(word_key(name), []).append(value.strip())
    for child in node.children:
        said.setdefault(word_key(child.name), []).append(_words_in(child))
    members = next((ends for ends in _ACT_ENDS if all(end in said for end in ends)), ())
    members = members or tuple(name for name in _ACT_MEMBERS if name in said)[:1]
    if not members:
        return node
    content: list[Node | Text] = []
    for part in node.content:
        key = "" if isinstance(part, Text) else word_key(part.name)
        content += part.all_texts if key in _ACT_KINDS else () if key in _OF_ACTS else (part,)
    if not any(isinstance(part, Text) and part.words.strip() for part in content):
        kinds = (value for name, value in node.attributes.items() if word_key(name) in _ACT_KINDS)
        content += [Text.at(node.offset, value) for value in kinds]
    others = {name: value for name, value in node.attributes.items() if word_key(name) not in _ACT_KINDS | _OF_ACTS}
    between = ", ".join(one for name in members for one in said[name])
    return replace(node, attributes=others | {"between": between}, content=tuple(content))


def _with_its_object(node: Node) -> Node:
    """A character's `<interaction with="kaito">hug</interaction>` is `hug kaito`."""
    act = _whose_act(node)
    if act is node:
        return node
    words = " ".join([*(text.words.strip() for text in act.texts if text.words.strip()), act.attributes["between"]])
    others = {name: value for name, value in act.attributes.items() if name != "between"}
    return replace(act, attributes=others, content=(Text.at(node.offset, words), *act.children))


# What an element says. Leaves hold words alone; these are the attributes they take.

_FORMATTING_WORDS = (
    "b i u s em strong span font br p small big mark sub sup div ul ol li code tag item entry value 标签 タグ"
)
_ASPECT_WORDS = "color colour style length type shape size tips texture pattern material state 颜色 长度 形状 色"
_ASPECTS = frozenset(_ASPECT_WORDS.split())
_FORMATTING = frozenset(_FORMATTING_WORDS.split())
_LEAVES_OF_PICTURE = {"interaction": ("between",), "caption": (), "spacing": (), "system": (), "negative": ()}
_LEAVES_OF_CHARACTER = {"name": (), "bbox": (), "negative": ("weight",)}


def _stated(reading: Reading, node: Node, leaf: tuple[str, ...] | None) -> tuple[Stated, tuple[Node, ...]]:
    """What the element says, and which elements inside it are fields of their own: all, unless it is a leaf."""
    attributes = _attributes(reading, node, ("weight",) if leaf is None else leaf)
    texts = tuple(_own_texts(node)) if leaf is None else node.all_texts
    weight = _weight_of(reading, attributes, node.offset)
    children = node.children
    for child in () if leaf is None and node.is_key else children:
        names = {"inner": child.name, "outer": node.name}
        plain = leaf is not None or child.name.lower() in _FORMATTING
        message = (
            Message("<{inner}> is inside <{outer}>; it is read as if beside it.", **names)
            if not plain
            else Message("<{inner}> inside <{outer}> is ignored; its text is kept.", **names)
        )
        reading.warn(child.offset, message)
    stated = Stated(node.name, node.spelled, texts, node.offset, weight, attributes.get("between"))
    beside = (child for child in children if child.name.lower() not in _FORMATTING)
    return stated, tuple(beside) if leaf is None else ()


def _own_texts(node: Node) -> Iterator[Text]:
    """The words of an element itself, and those that HTML's tags stand around."""
    for part in node.content:
        if isinstance(part, Text):
            yield part
        elif part.name.lower() in _FORMATTING:
            yield from part.all_texts


def _read_unknown_frame(reading: Reading, node: Node) -> None:
    message = Message("{element} is not a known element; its content is read.", element=node.spelled)
    reading.warn(node.offset, message)
    _attributes(reading, node, ())


def _inside(reading: Reading, node: Node, outer: str) -> PromptError:
    message = Message("<{inner}> is inside <{outer}>. Close <{outer}> first.", inner=node.name, outer=outer)
    return reading.source.error(message, node.offset)


def _attributes(
    reading: Reading, node: Node, known: Sequence[str], also: Callable[[str], bool] = lambda name: False
) -> dict[str, str]:
    found = {}
    for name, value in node.attributes.items():
        if name.lower() in known or also(name.lower()):
            found[name.lower()] = value
        else:
            message = Message(
                "<{element}> does not take the attribute {name}; it is ignored.", element=node.name, name=name
            )
            reading.warn(node.offset, message)
    return found


def _weight_of(reading: Reading, attributes: dict[str, str], offset: int) -> float:
    if "weight" not in attributes:
        return 1.0
    text = attributes["weight"].strip()
    weight = float(text) if re.fullmatch(r"[0-9]{0,4}\.?[0-9]{1,8}", text) else 0.0
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        message = Message(
            '"{text}" is not a weight. Write a number from {lowest} to {highest:g}, as in weight="1.2".',
            text=text, lowest=MIN_WEIGHT, highest=MAX_WEIGHT,
        )  # fmt: skip
        raise reading.source.error(message, offset)
    return weight


# LoRA tags: `<lora:name:0.8>` as other programs write them, `<lora>name:0.8</lora>` as XML would. A file's name may
# hold a comma or a colon: `<lora name="one, another" strength="0.8:0.6"/>`.

_NAMED = re.compile(f"[^{SEPARATORS}]+")
_DRIVE = re.compile(r"\s*[A-Za-z]:[\\/]")  # of a whole path
_STRENGTH = re.compile(r"[-+]?(?:[0-9]{1,4}(?:\.[0-9]{0,8})?|\.[0-9]{1,8})")
_STRONGEST = 100  # as the host's LoraLoader has it
_STRENGTHS = {"unet": 0, "model": 0, "te": 1, "clip": 1}  # `unet=0.8`, as other programs write them, and which it is
_CLOSED = re.compile(r"\s*(?:[:：]\s*[0-9.]+)?\s*[)）\]}]")


def take_loras(reading: Reading, node: Node, loras: list[Lora]) -> Node:
    """The node without its LoRAs, which are added to the list; those inside a character stay for that one."""
    content: list[Node | Text] = []
    for part in node.content:
        if isinstance(part, Node) and part.name.lower() in LORA_ELEMENTS:
            loras += _loras_in(reading, part)
        elif isinstance(part, Node) and not character_id(part.name):
            content.append(take_loras(reading, part, loras))
        elif content and isinstance(part, Text) and isinstance(last := content[-1], Text):
            content[-1] = _joined(last, part)  # a bracket may reach over a LoRA
        else:
            content.append(part)
    return replace(node, content=tuple(content)) if len(content) < len(node.content) or node.children else node


def _joined(before: Text, after: Text) -> Text:
    """What stood around a LoRA: words that it parted stay apart."""
    middle = len(before.words)
    start, end = _with_brackets(before.words + after.words, middle, middle)
    before, after = before.part(0, start), after.part(end - middle, len(after.words))
    meet = before.words[-1:].isalnum() and after.words[:1].isalnum()
    between = ((after.pieces[0][0], " ", True),) if meet else ()
    return Text(before.words + " " * meet + after.words, before.pieces + between + after.pieces)


def _with_brackets(text: str, start: int, end: int) -> tuple[int, int]:
    """From where to where the brackets reach that hold nothing else."""
    while closed := _CLOSED.match(text, end):
        opened = text[:start].rstrip()
        if not opened.endswith(("(", "（", "[", "{")) or opened.endswith("\\", 0, -1):
            break
        start, end = len(opened) - 1, closed.end()
    return start, end


def without_loras(reading: Reading, start: int, end: int) -> str:
    """Plain words with spaces where LoRAs stood, which are added to the picture's."""
    text = reading.source.text
    for lora in LORA.finditer(text, start, end):
        reading.loras += _loras(reading, lora.group(1), "", lora.start())
        first, last = _with_brackets(text, *lora.span())
        text = text[:first] + " " * (last - first) + text[last:]
    return text


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
    words = words.replace("：", ":").strip().removesuffix("/")
    drive = _DRIVE.match(words)
    name, _, numbers = words[drive.end() if drive else 0 :].partition(":")
    return ((drive.group() if drive else "") + name).strip(), numbers


def _lora(reading: Reading, name: str, stated: str, offset: int) -> Lora:
    """stated: "", a strength, or two of them, `0.8:0.6`, the second for the text encoders; or `unet=0.8:te=0.6`."""
    strengths: dict[int, float | None] = {}
    for index, part in enumerate(map(str.strip, unicodedata.normalize("NFKC", stated).split(":"))):
        key, _, number = part.rpartition("=")
        place = _STRENGTHS.get(key.strip().lower()) if key else index
        if place in (0, 1):
            strengths[place] = _strength(reading, name, number.strip(), offset)
            continue
        message = Message('Only two strengths of the LoRA {name} are used; "{text}" is ignored.', name=name, text=part)
        reading.warn(offset, message)
    strength = strengths.get(0)
    return Lora(name, 1.0 if strength is None else strength, strengths.get(1))


def _strength(reading: Reading, name: str, number: str, offset: int) -> float | None:
    if _STRENGTH.fullmatch(number) and abs(float(number)) <= _STRONGEST:
        return round(float(number), 4)
    if number:
        message = Message('"{text}" is not a strength for the LoRA {name}; 1 is used.', text=number, name=name)
        reading.warn(offset, message)
    return None
