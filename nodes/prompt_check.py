"""What the page asks while a prompt is typed: the reader's own verdict, and the layout.

Pure functions from a request's JSON to the answer's; routes.py brings them to the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..xml_prompt import Message, PromptError, Scene, convert, language_of, layout, parse, to_xml
from .builders import with_character, with_surroundings
from .prompt import plain_tags_hint

LEAST_ASPECT, MOST_ASPECT = 1 / 16, 16.0  # width / height
READERS = {"xml": parse, "text": convert}


@dataclass(frozen=True)
class Question:
    text: str = ""
    reader: str = "xml"  # one of READERS
    aspect: float = 1.0  # width / height of the picture
    language: str = "en"  # or zh
    people: tuple[dict[str, str], ...] = ()  # instead of a text: the fields of NewBie Character nodes in a row
    surroundings: dict[str, str] | None = None  # and of a NewBie Scene behind them


def question(said: Any) -> Question:
    """The JSON body. Raises ValueError."""
    if not isinstance(said, dict):
        raise ValueError("The request must be a JSON object.")
    text, people, surroundings = said.get("text"), said.get("people", []), said.get("surroundings")
    nodes = [*people, surroundings or {}] if isinstance(people, list) else [None]
    if not all(map(_are_fields, nodes)):
        raise ValueError("people must be a list of objects that hold texts, and surroundings such an object.")
    if not isinstance(text, str) and not people and surroundings is None:
        raise ValueError("The request must have a text, people or surroundings.")
    reader, aspect = said.get("reader", "xml"), said.get("aspect", 1.0)
    if reader not in READERS:
        raise ValueError(f"reader must be one of {', '.join(READERS)}.")
    if not isinstance(aspect, int | float) or not LEAST_ASPECT <= aspect <= MOST_ASPECT:
        raise ValueError(f"aspect must be a number from {LEAST_ASPECT} to {MOST_ASPECT}.")
    language = language_of(str(said.get("language", "en")))
    return Question(text if isinstance(text, str) else "", reader, float(aspect), language, tuple(people), surroundings)


def _are_fields(said: Any) -> bool:
    return isinstance(said, dict) and all(isinstance(text, str) for text in said.values())


def verdict(asked: Question) -> dict[str, Any]:
    """problem: {message, field, line, column} or null; the warnings; everybody's id, name and box; plain tags as XML.

    Of fields, only what is said of the last node's: each node tells of its own.
    """
    answer: dict[str, Any] = {"problem": None, "warnings": [], "characters": [], "hint": None, "xml": None}
    try:
        before = of_nodes(asked, last=False)
    except PromptError:
        return answer  # an earlier node tells it
    try:
        scene = of_nodes(asked) if before else READERS[asked.reader](asked.text)
        warnings = scene.warnings[len(before.warnings) if before else 0 :]
        answer["warnings"] = [_told(warning.message, warning, asked.language) for warning in warnings]
        boxes = layout(scene, asked.aspect)
    except PromptError as problem:
        return answer | {"problem": _told(problem.message, problem, asked.language)}
    answer["characters"] = [
        {
            "id": character.id,
            "name": character.name,
            "box": [round(edge) for edge in (box.left, box.top, box.right, box.bottom)],
            "stated": character.box is not None,
        }
        for character, box in zip(scene.characters, boxes, strict=True)
    ]
    hint = plain_tags_hint(asked.text, scene) if asked.reader == "xml" else None
    if hint is not None:
        answer |= {"hint": hint.text(asked.language), "xml": to_xml(convert(asked.text))}
    return answer


def of_nodes(asked: Question, last: bool = True) -> Scene | None:
    """What nodes with these fields make, or all but the last of them; None where a text is asked about."""
    if not asked.people and asked.surroundings is None:
        return None
    scene = Scene()
    for fields in asked.people if last or asked.surroundings is not None else asked.people[:-1]:
        scene = with_character(scene, fields)
    if last and asked.surroundings is not None:
        fields = dict(asked.surroundings)
        scene = with_surroundings(scene, fields, fields.pop("system_prompt", ""))
    return scene


def _told(message: Message, where: Any, language: str) -> dict[str, Any]:
    """Its line and column count within its field, where it is about one."""
    field, place = None, {"line": where.line, "column": where.column}
    said = dict(message.values)
    if {"field", "message"} <= said.keys():
        field, message = said["field"], said["message"]
        within = dict(message.values)
        if "line" in within and "message" in within:
            place, message = {"line": within["line"], "column": within["column"]}, within["message"]
    return {"message": message.text(language), "field": field, **place}
