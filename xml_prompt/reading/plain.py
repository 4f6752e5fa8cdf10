r"""Plain tags and `A: ... B: ...` -> a Scene with characters.

    1girl, blue hair, left; 1boy, red hair, right; classroom
    Miku: aqua hair, left                              女孩：蓝发，在左边；男孩：红发，在右边
    Kaito: blue hair, right

The rules, in the order they are asked:

 1. A text with elements or the template's JSON is no plain text: it is read as it is.
 2. The text is cut into parts, each perhaps with a label (labels.py). Nothing in brackets, no emoticon and no weight
    (`hat:1.2`) ends or begins anything.
 3. Labels. `character 2`, `角色二` and any name begin a character; so does a person word (`girl`, `左边的女孩`), which
    says the gender and the place, and what stands in parentheses behind either (`Mira (left)`). The name of a field
    (`clothing`, `背景`) fills that field: of the character before it if a character has such a field, else of the whole
    picture. It ends where the list begins to speak of something else. `scene` and `场景` begin words on the whole
    picture, `both` and `他们` what is everyone's. Names behind several people (`two girls: Mira, Tao`) are one each.
 4. A Chinese clause that says who is where (`红发女孩在左边`, `右边是男孩`) is cut into tags and begins a part of its
    own; one on all of them (`他们在海边握手`) is of the whole picture. The words between are left out (labels.clauses).
 5. A part without a label that has a person word (`1girl`, `a tall woman`, `男孩`) is a character. One that has none
    speaks of the whole picture if no tag of it describes a person; else it goes on describing the character before it.
 6. A count (`2girls`, `1girl, 1boy`) beside people who are described elsewhere counts those, and makes no others.
 7. Person words within one list begin a character each (a guess: there is a warning), except where they stand side by
    side (`1girl, 1boy, blue hair`, `2girls`): then nobody can say whose the tags are, and they stay with the picture.
 8. Tags without any person word that describe one all the same are one person (a guess).
 9. Each tag goes to the field that plain_words finds for it; what is left goes to `other`. `name_(series)` is the name.
10. Language (sentences, no labels, no `1girl`) stays a caption, as in parse; of a list, a tag that is a sentence does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import NamedTuple

from ..layout.places import read_position
from ..messages import Message
from ..scene import Scene, Tag
from ..tags import PlacedTag, TagError
from ..words import CHARACTER_ELEMENTS, character_id, gender_of, genders_in, joint_interaction, word_key
from .document import Warnings
from .fields import (
    Draft,
    Reading,
    StatedInteraction,
    add,
    check_gender,
    check_position,
    new_draft,
    next_id,
    placed_tags,
    state_box,
    unescaped_name,
    weightless,
)
from .labels import (
    EVERYONE,
    PARTS_OF_A_BODY,
    WORDS_THAT_BREAK,
    Clause,
    Part,
    bare_person,
    clauses,
    of_a_field,
    parts_of,
    without_bullets,
    without_stars,
)
from .markup import Text
from .parse import is_language, read_prompt, scene_of, without_loras
from .plain_words import field_of_person, field_of_picture, is_counted, people_in, several_in

MOST_ALIKE = 8  # `2girls` makes two characters; a crowd stays a crowd

_SETTINGS = re.compile(r"Steps:\s*[0-9]+\s*,")
_SERIES = re.compile(r"[^\s()][^()]*?[_ ]\([^()]+\)")
_COUNTED = re.compile(r"[0-9]{1,2}\+?(?:girl|boy|other)s?", re.IGNORECASE)
_STOP = re.compile(r"(?<=\w)[。.]\s*$")
_ASIDE = re.compile(r"\s*[(（]([^()（）]+)[)）]\s*$")
_DASH = re.compile(r"\s+[-–—]\s+")
_NAME = re.compile(r"[A-Z][\w.'’\-]*(?: [A-Z][\w.'’\-]*){0,2}")
_SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)]*\s*$")
_OF_EVERYONE = re.compile(r"(?:both|they|everyone|everybody|all of them|the (?:two|three|four))\b", re.IGNORECASE)
_NAMES = re.compile(r"(?:character|char|角色|人物)[:：]\s*(\S.*)", re.IGNORECASE)
_CUT = re.compile(rf"[,，、;；\n|]|{WORDS_THAT_BREAK}")
_CLAUSE = re.compile(r"[,，、;；]")
_ONE_AND_ONE = re.compile(r"(?P<first>[0-9一二两三四五六]{1,2}[男女])(?P<second>[0-9一二两三四五六]{1,2}[男女])")
_SEVERAL = re.compile(r"\s+(?:and|&|x|×|\+)\s+|\s*[,，、&＆×/]\s*|[和与與と]", re.IGNORECASE)
_AND = re.compile(
    r"\s+(?:and|&|\+)\s+|(?<=[a-z])\s+(?=[0-9]{1,2}\+?(?:girl|boy|other))|[和与與と]", re.IGNORECASE
)
_BARE_WORDS = 2  # `a girl`
_SENTENCE_WORDS = 4  # of a clause of a sentence
_NAME_SIGNS = 10  # of a name in Chinese or Japanese
_WORDS = re.compile(r"[^\W\d_][^:：|<>{}\[\]]*")
_CROWD = re.compile("[人们群众達]")  # 人群 is no name


def convert(text: str) -> Scene:
    """The scene that plain words describe, with characters. Raises PromptError as parse does, and nothing else."""
    reading, document = read_prompt(text, plain=True)
    if reading.marked_up:
        return scene_of(reading)
    source, start, end = document.source, document.start, document.end
    plain = Reading(source, Warnings(list(document.warnings)), system=document.system)
    plain.source = replace(source, text=without_loras(plain, start, end))
    plain.source = replace(source, text=source.text[:start] + without_bullets(plain.source.text[start:end]))
    try:
        parts = parts_of(plain.source.text, start, end)
    except TagError as error:
        raise source.error(error.message, error.offset) from None
    labels = sum(bool(part.label) for part in parts)
    counted = any(_COUNTED.fullmatch(chunk.strip()) for chunk in _CUT.split(source.text[start:end]))
    if reading.captions and labels < 2 and not counted:
        return scene_of(reading)
    _Plain(plain).read(parts)
    return scene_of(plain)


class _Plain:
    """The parts of one text, read in order into a Reading."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.current: Draft | None = None
        self.of_everyone: list[PlacedTag] = []
        self.described: Counter[str] = Counter()
        self.regions: list[Draft] = []  # of `2girls, park BREAK red hair BREAK blue hair`: whom the next parts are of
        self.next_place: list[PlacedTag] = []  # of `【左】 girl: ...`
        self.next_name = ""  # of `character:miku`, said before the person

    def read(self, parts: list[Part]) -> None:
        labels = {label for part in parts for label in (part.label, _ASIDE.sub("", part.label))}
        parts = self._without_settings(parts)
        parts = sorted(parts, key=lambda part: _of_people_elsewhere(part.label, labels))  # behind those people
        read = [(part, clause) for part in parts for clause in self._clauses(part)]
        someone = any(
            (part.label and not of_a_field(part.label)) or any(people_in(tag.text) for tag, _ in clause.tags)
            for part, clause in read
        )
        self.described = described = _described(read)
        for part, clause in read:
            tags = list(clause.tags)
            counts = _counts(part, tags, described)
            if part.label:
                self._labelled(part, tags)
            elif clause.shared:
                self.current = None
                self._sort_picture(tags)
            elif someone and self._is_sentence(part, clause):
                self.reading.captions.append(self._words(part))
            elif counts:
                self._count(tags, counts)
            elif any(people_in(tag.text) for tag, _ in tags):
                self._people(part, tags)
            elif tags and len(self.reading.drafts) > 1 and all(joint_interaction(tag.text) for tag, _ in tags):
                self._together(tags)
            elif any(field_of_person(tag.text) and not _of_picture(tag.text) for tag, _ in tags):
                if self.current is None and not someone:
                    self._new(part.at)
                    someone = True
                    message = Message("It is unclear who this is; the tags are read as one person's.")
                    self.reading.warn(part.at, message)
                elif self.current is not None or self.regions:
                    self.current = self.regions.pop(0) if self.regions else self.current
                    message = Message("It is unclear whose tags these are; they are given to {id}.", id=self.current.id)
                    self.reading.warn(part.at, message)
                self._sort(tags)
            else:
                self._sort_picture(tags)
        if self.next_name:
            self._new(parts[0].at)
        for draft in self.reading.drafts.values():
            self.current = draft
            self._sort(self.of_everyone)
        if not self.reading.drafts:  # of nobody: `both: smile` alone
            self._sort_picture(self.of_everyone)

    def _without_settings(self, parts: list[Part]) -> list[Part]:
        """The parts before a line of another program's settings."""
        for i, part in enumerate(parts):
            if _SETTINGS.match(self.reading.source.text, part.at):
                message = Message("This line of settings is not part of the prompt; it is ignored.")
                self.reading.warn(part.at, message)
                return parts[:i]
        return parts

    def _words(self, part: Part) -> str:
        return self.reading.source.text[part.start : part.end].strip(" \t\n,，、")

    def _clauses(self, part: Part) -> list[Clause]:
        words = without_stars(self.reading.source.text[part.start : part.end])
        listed = part.label or any(_COUNTED.fullmatch(piece.strip()) for piece in _CLAUSE.split(words))
        if listed and (stop := _STOP.search(words)):
            words = words[: stop.start()]
        tags = _apart(placed_tags(self.reading, (Text(words, ((part.start, words, True),)),)))
        return [Clause(tuple(tags))] if part.label else clauses(tags)

    def _is_sentence(self, part: Part, clause: Clause) -> bool:
        """Whether the part tells of the picture in a sentence: no list, and no clause on who is where."""
        words = self._words(part)
        if _OF_EVERYONE.match(words) and is_language(words):
            return True
        if not _SENTENCE_END.search(words) or not is_language(words):
            return False
        if not words.isascii() and len(_CLAUSE.split(words)) == 1:
            return len(clause.tags) == 1
        return any(len(run.split()) >= _SENTENCE_WORDS for run in _CLAUSE.split(words)) and not any(
            _COUNTED.fullmatch(tag.text) for tag, _ in clause.tags
        )

    def _new(self, offset: int, id: str = "") -> Draft:
        self.current = new_draft(self.reading, id or next_id(self.reading), offset)
        self.current.name, self.next_name = self.next_name, ""
        place, self.next_place = self.next_place, []
        self._add(self.current, "position", place) if place else None
        return self.current

    # Labels

    def _labelled(self, part: Part, tags: list[PlacedTag]) -> None:
        key, field = word_key(part.label), of_a_field(part.label)
        personal = key in CHARACTER_ELEMENTS or key in PARTS_OF_A_BODY
        if roster := _roster(part.label, tags):
            self._listed(part, roster, tags)
        elif (several_in(part.label) or ("", 0))[1] > 1 and any(people_in(tag.text) for tag, _ in tags):
            add(self.reading.general, "count", [Tag(part.label)])  # `two people: a girl, a boy`
            self._people(part, tags)
        elif key in EVERYONE:
            self._of_everyone(tags)
        elif field == "negative":
            self._negative(part, tags)
        elif field == "picture":
            self.current = None
            person = next((i for i, (tag, _) in enumerate(tags) if people_in(tag.text)), len(tags))
            first = person if not self.described else len(tags)
            self._sort_picture(tags[:first])
            if tags[first:]:
                self._people(part, tags[first:])
        elif field in ("name", "bbox", "interaction", "caption", "spacing", "system"):
            self._plain_field(part, field, tags)
        elif field and personal and (self.current is not None or field not in _SHARED_FIELDS):
            own, rest = _reach(part, field, tags, personal=True)
            draft = self.current or self._new(part.at)
            self._add(draft, field, _of_the_body(key, own))
            self._sort(rest)
        elif field:
            own, rest = _reach(part, field, tags, personal=False)
            add(self.reading.general, field, [tag for tag, _ in own])
            if any(people_in(tag.text) for tag, _ in rest):
                self._people(part, rest)
            else:
                self._sort(rest)
        elif several := self._known_in(part.label):
            self._of_several(several, tags)
        elif not read_position((part.label,))[1]:
            self._placed(part, tags)
        elif character_id(key) == "character_" and tags:  # `character: miku, 1girl` names one
            self._new(part.at).name = unescaped_name(tags[0].tag.text) if not people_in(tags[0].tag.text) else ""
            self._sort(tags[bool(self.current and self.current.name) :])
        else:
            self._named(part)
            self._sort(self._without_name(tags))

    def _listed(self, part: Part, roster: Roster, tags: list[PlacedTag]) -> None:
        """`two girls: Mira and Tao, park`: someone of each name, and what else is said, of the picture."""
        if people_in(part.label):
            add(self.reading.general, "count", [Tag(part.label)])
        there = {draft.name for draft in self.reading.drafts.values()}
        for name in (name for name in roster.names if name not in there):
            draft = self._new(part.at)
            draft.name = unescaped_name(name)
            draft.gender, draft.gender_stated = roster.gender or None, bool(roster.gender)
        self.current, rest = None, tags[roster.tags :]
        if any(field_of_person(tag.text) and not _of_picture(tag.text) for tag, _ in rest):
            self.reading.warn(part.at, Message("It is unclear whose tags these are; put each person on a line."))
        self._sort(rest)

    def _known_in(self, label: str) -> list[Draft]:
        """Those whom a label such as `A and B` names, where all of them have been described."""
        names = [name.strip() for name in _SEVERAL.split(label)]
        known = {draft.name.lower(): draft for draft in self.reading.drafts.values() if draft.name}
        known = {_ASIDE.sub("", name): draft for name, draft in known.items()} | known | self.reading.drafts
        found = [known.get(_numbered_id(name) or name.lower()) for name in names]
        return [draft for draft in found if draft] if len(names) > 1 and all(found) else []

    def _of_several(self, drafts: list[Draft], tags: list[PlacedTag]) -> None:
        for placed in tags:
            if joint_interaction(placed.tag.text) or is_language(placed.tag.text):
                self._together([placed], ", ".join(draft.id for draft in drafts))
            else:
                for draft in drafts:
                    self.current = draft
                    self._sort([placed])

    def _plain_field(self, part: Part, field: str, tags: list[PlacedTag]) -> None:
        """Fields whose words are no list of tags."""
        words = self._words(part)
        if field == "name":
            draft = self._new(part.at) if self.current is None or self.current.name else self.current
            draft.name = unescaped_name(" ".join(words.split()))
        elif field == "bbox" and self.current is not None:
            state_box(self.reading, self.current, words, part.at)
        elif field == "interaction":
            self._together(tags)
        elif field == "caption":
            self.reading.captions += [words] if words else []
        elif field == "spacing":
            self.reading.spacing = " ".join(words.split())
            self.reading.spacing_place = (self.reading.source, part.at)
        else:
            message = Message('"{label}" is outside any character. Put it after one.', label=part.label)
            raise self.reading.source.error(message, part.at)

    def _negative(self, part: Part, tags: list[PlacedTag]) -> None:
        """`negative:` behind a character is its own; one that names a prompt, or has nobody before it, is not."""
        own = CHARACTER_ELEMENTS.get(word_key(part.label)) == "negative" or "_" not in word_key(part.label)
        if self.current is None or not own or re.search("prompt|提示|プロンプト", part.label.lower()):
            if not tags:
                return
            message = Message("A negative prompt does not belong here. Type it into the negative prompt.")
            raise self.reading.source.error(message, part.at)
        if part.first and len(self.reading.drafts) > 1:
            message = Message("It is unclear whose negative this is; it is given to {id}.", id=self.current.id)
            self.reading.warn(part.at, message)
        self.current.negative += [tag for tag, _ in tags]

    def _of_everyone(self, tags: list[PlacedTag]) -> None:
        for placed in tags:
            text = placed.tag.text
            if joint_interaction(text) or is_language(text):
                self._together([placed])
            elif _of_picture(text) and not field_of_person(text):
                self._sort_picture([placed])
            else:
                self.of_everyone.append(placed)

    def _named(self, part: Part) -> None:
        """Whom a label begins, or goes on with: `Mira`, `girl on the left`, `Character 1 (Mira, left)`."""
        label = part.label
        aside = _ASIDE.search(label)
        bare = label[: aside.start()].strip() if aside else label
        asides = [piece.strip() for piece in _CLAUSE.split(aside.group(1))] if aside else []
        first, *behind = _DASH.split(bare)
        if behind and _numbered_id(first):  # `Character 1 - Mira`
            bare, asides = first, [*behind, *asides]
        said = [piece for piece in asides if gender_of(piece) or not read_position((piece,))[1]]
        names = [piece for piece in asides if piece and piece not in said]
        id, word = _numbered_id(bare), ""
        if id:
            self.current = self.reading.drafts.get(id) or self._new(part.at, id)
            self.current.name = self.current.name or ", ".join(names)
        else:
            word, rest = _person_label(bare_person(bare))
            word = "" if rest and read_position((rest,))[1] else word
            behind = aside.group() if aside and not said else _in_parentheses(names)
            name = ", ".join(names) if word else f"{bare}{behind}"
            again = next((d for d in self.reading.drafts.values() if d.name and d.name == name), None)
            self.current = again or self._new(part.at)
            self.current.name = " ".join(unescaped_name(name).split())
            said += [rest] if word and rest else []
        draft = self.current
        if word:
            draft.fields["gender"] = [Tag(word)]
        elif not id and (genders := genders_in(bare)) and not draft.fields.get("gender"):
            draft.gender, draft.gender_stated = genders[0], True
        for piece in said:
            self._add(draft, "gender" if gender_of(piece) else "position", [PlacedTag(Tag(piece), part.at)])

    def _placed(self, part: Part, tags: list[PlacedTag]) -> None:
        """`Left: 1girl, red hair`, or before another label `【Left】 Mira: ...`: where the next person stands."""
        worn = all(field_of_person(tag.text) == "clothing" for tag, _ in tags)
        if worn and word_key(part.label) in ("top", "bottom"):
            self.current = self.current or self._new(part.at)
            self._sort(tags)  # `Top: white shirt`
            return
        self.next_place = [PlacedTag(Tag(part.label), part.at)]
        if any(people_in(tag.text) for tag, _ in tags):
            self._people(part, tags)
        elif tags:
            self._new(part.at)
            self._sort(self._without_name(tags))

    def _without_name(self, tags: list[PlacedTag]) -> list[PlacedTag]:
        """`Character 1: Mira, 1girl`: a capitalised word that no table knows is the name of someone who has none."""
        if self.current is None or self.current.name or not tags:
            return tags
        text, offset = tags[0].tag.text, tags[0].offset
        known = people_in(text) or field_of_person(text) or _of_picture(text)
        if known or not (_NAME.fullmatch(text) or _SERIES.fullmatch(text)):
            return tags
        self.current.name = text
        self.reading.warn(offset, Message('"{name}" is read as a name.', name=text))
        return tags[1:]

    # People without labels

    def _count(self, tags: list[PlacedTag], described: int) -> None:
        """`2girls, classroom` beside two people who are described elsewhere."""
        counted = [placed for placed in tags if people_in(placed.tag.text)]
        add(self.reading.general, "count", [tag for tag, _ in counted])
        total = sum((people_in(tag.text) or ("", 0))[1] for tag, _ in counted)
        if total > described:
            message = Message(
                "The count is {total} people, but only {count} are described.", total=total, count=described
            )
            self.reading.warn(counted[0].offset, message)
        self.current = None
        self._sort_picture([placed for placed in tags if placed not in counted])

    def _people(self, part: Part, tags: list[PlacedTag]) -> None:
        """A part without a label that has person words."""
        reading = self.reading
        found = _found(tags)
        described = all(len(tags[i].tag.text.split()) > _BARE_WORDS for i, _ in found)  # `girl with red hair`
        together = len(found) > 1 and not described and all(b[0] - a[0] == 1 for a, b in pairwise(found))
        many = sum(count for _, (_, count) in found)
        if together or any(count > 1 for _, (_, count) in found):
            add(reading.general, "count", [tags[i].tag for i, _ in found])
            if many <= MOST_ALIKE:
                for _, (gender, count) in found:
                    for _ in range(count):
                        add(self._new(part.at).fields, "gender", [Tag(gender)])
                self.regions = list(reading.drafts.values())[-many:] if part.bar else []
            message = Message("It is unclear whose tags these are; put each person on a line.")
            reading.warn(part.at, message)
            self.current = None
            at = {i for i, _ in found}
            self._sort([placed for i, placed in enumerate(tags) if i not in at])
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
            word = tags[at].tag
            add(draft.fields, "gender", [word])
            if gender not in genders_in(word.text):
                draft.gender, draft.gender_stated = gender, True
            self._sort([placed for i, placed in enumerate(tags[first:last], start=first) if i != at])

    # Tags into fields

    def _sort(self, tags: Sequence[PlacedTag]) -> None:
        """Each tag into its field: of the character at hand, or of the whole picture."""
        draft = self.current
        for placed in tags:
            tag, offset = placed
            if self._is_name(tag.text):
                continue
            field = field_of_person(tag.text)
            if draft is None or (_of_picture(tag.text) and field != "position"):
                self._sort_picture([placed])
            elif is_language(tag.text) and field != "position":
                add(draft.fields, "other", [tag])
            elif joint_interaction(tag.text):
                add(draft.fields, "interaction", [tag])
            elif field is None and not draft.name and _SERIES.fullmatch(tag.text):
                draft.name = tag.text
                self.reading.warn(offset, Message('"{name}" is read as a name.', name=tag.text))
            elif field is None and people_in(tag.text):
                add(draft.fields, "gender", [tag])
            else:
                self._add(draft, field or "other", [placed])

    def _sort_picture(self, tags: Sequence[PlacedTag]) -> None:
        for placed in tags:
            tag = placed.tag
            if self._is_name(tag.text):
                continue
            field = field_of_picture(tag.text)
            if field is None and is_language(tag.text):
                self.reading.captions.append(tag.text)
            elif field is None and joint_interaction(tag.text):
                self._together([placed])
            else:
                add(self.reading.general, field or "other", [tag])

    def _is_name(self, text: str) -> bool:
        """`character:hatsune miku` names the person at hand, or the next one."""
        match = _NAMES.fullmatch(text)
        if match is None or (self.next_name if self.current is None else self.current.name):
            return False
        if self.current is None:
            self.next_name = match.group(1)
        else:
            self.current.name = match.group(1)
        return True

    def _add(self, draft: Draft, field: str, tags: Sequence[PlacedTag]) -> None:
        if field == "position":
            for tag, offset in tags:
                if tag.weight != 1.0:
                    self.reading.warn(offset, weightless(tag.text))
            tags = [placed._replace(tag=replace(placed.tag, weight=1.0)) for placed in tags]
            check_position(self.reading, draft, tags)
        elif field == "gender":
            check_gender(self.reading, tags, of_one=True)
        add(draft.fields, field, [tag for tag, _ in tags])

    def _together(self, tags: Sequence[PlacedTag], between: str | None = None) -> None:
        kinds = tuple(tag for tag, _ in tags)
        offset = tags[0].offset if tags else 0
        self.reading.interactions.append(StatedInteraction(kinds, between, self.reading.source, offset))


_SHARED_FIELDS = frozenset({"other", "interaction"})  # of the picture too, where no character is at hand


def _reach(part: Part, field: str, tags: list[PlacedTag], personal: bool) -> tuple[list[PlacedTag], list[PlacedTag]]:
    """Which tags behind a field's label are its own: of `artist:foo` one, of a line of its own all, but no person."""
    if part.tight and not personal and not (part.first and field != "artists" and len(tags) == 1):
        return tags[:1], tags[1:]
    for i, (tag, _) in enumerate(tags):
        person = people_in(tag.text) is not None and field not in ("count", "gender")
        other = field_of_person(tag.text) or field_of_picture(tag.text)
        elsewhere = i > 0 and other not in (None, field) and (not part.first or part.tight or field == "artists")
        if person or elsewhere:
            return tags[:i], tags[i:]
    return tags, []


def _apart(tags: Sequence[PlacedTag]) -> list[PlacedTag]:
    """`a boy and a girl` is two tags."""
    found: list[PlacedTag] = []
    for placed in tags:
        text = placed.tag.text
        words = [word.strip() for word in _AND.split(text)] if people_in(text) else []
        words = list(pair.groups()) if (pair := _ONE_AND_ONE.fullmatch(text)) else words
        several = len(words) > 1 and all(people_in(word) for word in words)
        found += (placed._replace(tag=replace(placed.tag, text=word)) for word in words) if several else (placed,)
    return found


def _found(tags: Sequence[PlacedTag]) -> list[tuple[int, tuple[str, int]]]:
    """The person words of a list: index, gender, how many. Beside `1girl`, `cat girl` says what she is like."""
    found = [(i, person) for i, (tag, _) in enumerate(tags) if (person := people_in(tag.text))]
    counted = {person[0] for i, person in found if is_counted(tags[i].tag.text)}
    return [(i, person) for i, person in found if is_counted(tags[i].tag.text) or person[0] not in counted]


def _described(read: Sequence[tuple[Part, Clause]]) -> Counter[str]:
    """How many people of each gender ("" for unknown) have a part of their own."""
    found: Counter[str] = Counter()
    names: set[str] = set()
    for part, clause in read:
        people = _found(clause.tags)
        if part.label:
            if _of_people_elsewhere(part.label, names):
                continue
            if roster := _roster(part.label, clause.tags):
                found[roster.gender] += len(set(roster.names) - names)
                names.update(roster.names)
                continue
            again = part.label in names and not _person_label(part.label)[0]  # `girl:` is someone else each time
            if of_a_field(part.label) is None and word_key(part.label) not in EVERYONE and not again:
                names |= {part.label, _ASIDE.sub("", part.label)}
                stated = genders_in(part.label) or tuple(gender for _, (gender, _) in people[:1])
                found[stated[0] if stated else ""] += 1
        elif len(people) == 1 and people[0][1][1] == 1 and not clause.shared:
            found[people[0][1][0]] += 1
    return found


class Roster(NamedTuple):
    """Names behind a label that means several people: their gender ("" for unknown), and how many tags hold them."""

    gender: str
    names: tuple[str, ...]
    tags: int


def _roster(label: str, tags: Sequence[PlacedTag]) -> Roster | None:
    """`two people: Mira and Tao`, `Cast: Mira, Tao`, `两个女孩：初音和镜音`; None for any other label, or no names."""
    several = several_in(label)
    if several is None:
        return None
    gender, stated = several
    unknown = [tag.text for tag, _ in takewhile(lambda placed: _may_be_named(placed.tag.text), tags)]
    if stated and len(unknown) == stated:  # as many as the label says, in small letters too; 和 may be part of a name
        return Roster(gender, tuple(unknown), stated)
    names, used = [], 0
    for text in unknown:
        pieces = [piece.strip() for piece in _SEVERAL.split(text)]
        one_sign = any(len(piece) < 2 and not piece.isascii() for piece in pieces)  # 大和 is a name
        pieces = pieces if all(pieces) and (not one_sign or len(pieces) == stated) else [text]
        if not all(map(_may_be_named, pieces)) or not (stated > len(names) or all(map(_looks_named, pieces))):
            break
        names, used = [*names, *pieces], used + 1
    sure = all(map(_looks_named, names)) or len(names) == stated
    return Roster(gender, tuple(names), used) if 2 <= len(names) <= MOST_ALIKE and sure else None


def _may_be_named(text: str) -> bool:
    known = people_in(text) or field_of_person(text) or _of_picture(text) or joint_interaction(text)
    return not known and _WORDS.fullmatch(text) is not None


def _looks_named(text: str) -> bool:
    signs = not text.isascii() and len(text) <= _NAME_SIGNS and not _CROWD.search(text)
    return signs or bool(_NAME.fullmatch(text) or _SERIES.fullmatch(text))


def _counts(part: Part, tags: Sequence[PlacedTag], described: Counter[str]) -> int:
    """How many people this part's count stands for, where it is one: they are described elsewhere."""
    people = _found(tags)
    several = sum(count for _, (_, count) in people)
    if part.label or not people:
        return 0
    if several > 1:
        return described.total()
    # `1girl, classroom | girl, red hair`: the first region of several says what all of them share.
    own = people[0][1][0]
    plain = not any(field_of_person(tag.text) and not _of_picture(tag.text) for tag, _ in tags)
    return 1 if part.bar and plain and described[own] == 2 and described.total() == 2 else 0


def _in_parentheses(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _of_people_elsewhere(label: str, labels: set[str]) -> bool:
    """`Mira and Tao`, where both have labels of their own."""
    names = [name.strip() for name in _SEVERAL.split(label)]
    return len(names) > 1 and labels.issuperset(names)


def _numbered_id(label: str) -> str | None:
    id = character_id(word_key(label))
    return id if id != "character_" else None


def _of_the_body(label: str, tags: Sequence[PlacedTag]) -> list[PlacedTag]:
    """`hair: aqua` says aqua hair, `头发：蓝色` 蓝色头发."""
    if label not in PARTS_OF_A_BODY or PARTS_OF_A_BODY[label] != "appearance":
        return list(tags)
    between = " " if label.isascii() else ""


    def whole(text: str) -> bool:
        return label in text or (len(text.split()) > 1 and field_of_person(text) is not None)

    return [
        placed
        if whole(placed.tag.text)
        else placed._replace(tag=replace(placed.tag, text=f"{placed.tag.text}{between}{label}"))
        for placed in tags
    ]


def _of_picture(text: str) -> bool:
    return field_of_picture(text) is not None


def _person_label(label: str) -> tuple[str, str]:
    """The person word of a label, and the rest: `左边的女孩` -> 女孩, 左边; `girl on the left` -> girl, on the left."""
    words = label.split()
    for i, word in enumerate(words if len(words) > 1 else ()):
        place = " ".join([w for w in words[:i] if w.lower() not in ("a", "the")] + words[i + 1 :])
        if place and gender_of(word) and not read_position((place,))[1]:
            return word, place
    if gender_of(label):
        return label, ""
    for i, word in enumerate(words if len(words) > 1 else ()):
        if gender_of(word):
            return word, " ".join([w for w in words[:i] if w.lower() not in ("a", "the")] + words[i + 1 :])
    for size in (len(label), 4, 3, 2, 1):
        if size <= len(label) and gender_of(label[-size:]):
            return label[-size:], label[:-size].rstrip("的の ")
    return "", ""
