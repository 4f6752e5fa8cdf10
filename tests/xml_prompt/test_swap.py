"""The scene that a model confuses with the one that was asked for."""

from __future__ import annotations

from newbie_pack.xml_prompt import parse
from newbie_pack.xml_prompt.render import swapped
from newbie_pack.xml_prompt.scene import Box, Character, Field, Scene, Tag


def fields(**words: str) -> tuple[Field, ...]:
    return tuple(Field(name, (Tag(word),)) for name, word in words.items())


def test_swapped_people_keep_their_places_and_take_the_next_ones_looks():
    people = (
        Character("character_1", "miku", fields(gender="1girl", appearance="red_hair", position="left"), "girl"),
        Character("character_2", "", fields(gender="1boy", clothing="hat", position="center"), "boy", Box(1, 2, 3, 4)),
        Character("character_3", "", fields(appearance="blue_hair"), None, None, (Tag("hat"),)),
    )
    scene = Scene(people, fields(background="beach"), "a caption")
    first, second, third = swapped(scene).characters
    assert first == Character("character_1", "", fields(gender="1boy", clothing="hat", position="left"), "boy")
    assert second == Character("character_2", "", fields(appearance="blue_hair", position="center"), None,
                               Box(1, 2, 3, 4), (Tag("hat"),))
    assert third == Character("character_3", "miku", fields(gender="1girl", appearance="red_hair"), "girl")
    assert swapped(scene).general == scene.general
    assert swapped(swapped(swapped(scene))).characters[0] == people[0]  # three turns of three people
    assert swapped(Scene(people[:1])) == Scene(people[:1])


def test_those_who_interact_are_the_same_in_their_own_words_and_in_everyones():
    scene = parse(
        "<character_1><n>a</n><interaction>hug</interaction></character_1><character_2><n>b</n></character_2>"
        "<character_3><n>c</n></character_3><interaction between='character_1 character_2'>hug</interaction>"
    )
    exchanged = swapped(scene)
    assert [character.name for character in exchanged.characters] == ["b", "c", "a"]
    assert [bool(character.tags("interaction")) for character in exchanged.characters] == [True, False, False]
    assert exchanged.interactions == scene.interactions
