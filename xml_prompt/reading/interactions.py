"""Who does what with whom: interactions stated for the scene, and those that a character's own words name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..messages import Message
from ..scene import Character, Interaction, Tag
from ..words import character_id, joint_interaction, word_key
from .fields import Reading, StatedInteraction, unescaped_name

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
            if stated.between is not None:
                ids = _between(stated, characters)
            else:
                ids = _named(reading, stated, tag.text, characters) if len(everyone) > 2 else everyone
            found.append(Interaction(tag.text, ids))
    found += reading.settled
    known = {(_kind(act.kind), frozenset(act.between)) for act in found}
    for character in characters if len(characters) > 1 else ():
        for tag in character.tags("interaction"):
            kind = joint_interaction(tag.text)
            others = [id for _, id in _names_in(tag.text, characters) if id != character.id]
            pair = everyone if len(characters) == 2 else tuple(dict.fromkeys((character.id, *others)))
            if kind and len(pair) > 1 and (kind, frozenset(pair)) not in known:
                known.add((kind, frozenset(pair)))
                found.append(Interaction(kind, pair))
    return tuple(dict.fromkeys(found))


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


def _between(stated: StatedInteraction, characters: Sequence[Character]) -> tuple[str, ...]:
    """The ids that the attribute names, by id or by name. Names may have spaces, also where no commas stand between."""
    everyone = {character.id: character.id for character in characters}
    named = {name_key(character.name): character.id for character in characters}
    ids = _by_short_name(characters) | {key: id for key, id in named.items() if key} | everyone

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
    if len(set(found)) < 2:
        message = Message(
            "An interaction needs at least two characters. "
            'Write between="character_1 character_2", or leave it out for everyone.'
        )
        raise stated.source.error(message, stated.offset)
    return tuple(dict.fromkeys(found))
