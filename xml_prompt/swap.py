"""The scene that a model confuses with the one that was asked for: everybody looks as another one should."""

from __future__ import annotations

from dataclasses import replace

from .scene import Character, Scene

OF_PLACES = ("position", "interaction")  # the scene's interactions name who is where, and stay as they are


def swapped(scene: Scene) -> Scene:
    """Everyone looks and acts as the next one does, and stays in their own place, beside those with whom they interact.

    Someone alone stays as they are.
    """

    def as_other(own: Character, other: Character) -> Character:
        fields = tuple(field for field in other.fields if field.name not in OF_PLACES)
        place = tuple(field for field in own.fields if field.name in OF_PLACES)
        return replace(own, name=other.name, gender=other.gender, negative=other.negative, fields=fields + place,
                       loras=other.loras)

    people = scene.characters
    return replace(scene, characters=tuple(map(as_other, people, (*people[1:], *people[:1]))))
