"""Who does what with whom: interactions stated for the scene, and those that a character's own words name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..messages import Message
from ..scene import Character, Interaction
from ..words import character_id, joint_interaction, word_key
from .draft import Reading, StatedInteraction

_COMMAS = re.compile(r"[,，、;；|&+]")
_SPACES = re.compile(r"\s+and\s+|\s+|和|与")


def interactions_of(reading: Reading, characters: Sequence[Character]) -> tuple[Interaction, ...]:
    everyone = tuple(character.id for character in characters)
    found: list[Interaction] = []
    for stated in reading.interactions:
        for tag in stated.kinds:
            if tag.weight != 1.0:
                message = Message('An interaction takes no weight; that of "{kind}" is ignored.', kind=tag.text)
                reading.warnings.warn(stated.source, stated.offset, message)
            ids = everyone if stated.between is None else _between(stated, characters)
            found.append(Interaction(tag.text, ids))
    if len(characters) == 2:
        known = {_kind(interaction.kind) for interaction in found}
        for character in characters:
            for tag in character.tags("interaction"):
                kind = joint_interaction(tag.text)
                if kind and kind not in known:
                    known.add(kind)
                    found.append(Interaction(kind, everyone))
    return tuple(dict.fromkeys(found))


def _kind(text: str) -> str:
    return joint_interaction(text) or word_key(text)


def _between(stated: StatedInteraction, characters: Sequence[Character]) -> tuple[str, ...]:
    """The ids that the attribute names, by id or by name. Names may have spaces where commas stand between them."""
    ids = {character.name.lower(): character.id for character in characters if character.name}
    ids |= {character.id: character.id for character in characters}

    def known(word: str) -> str | None:
        return ids.get(word.lower()) or ids.get(character_id(word) or "")

    found: list[str] = []
    for part in filter(None, map(str.strip, _COMMAS.split(stated.between or ""))):
        for word in [part] if known(part) else filter(None, _SPACES.split(part)):
            id = known(word)
            if id is None:
                listed = tuple(character.id for character in characters[:8])
                raise stated.source.error(
                    Message(
                        'The interaction names "{name}", but the characters are {listed}.', name=word, listed=listed
                    )
                    if listed
                    else Message('The interaction names "{name}", but the prompt has no characters.', name=word),
                    stated.offset,
                )
            found.append(id)
    if len(set(found)) < 2:
        message = Message(
            "An interaction takes at least two characters. "
            'Write between="character_1 character_2", or leave it out for everyone.'
        )
        raise stated.source.error(message, stated.offset)
    return tuple(dict.fromkeys(found))
