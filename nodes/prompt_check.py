"""What the page asks while a prompt is typed: the reader's own verdict, and the layout.

Pure functions from a request's JSON to the answer's; routes.py brings them to the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..xml_prompt import Message, PromptError, convert, language_of, layout, parse, to_xml
from .prompt import plain_tags_hint

LEAST_ASPECT, MOST_ASPECT = 1 / 16, 16.0  # width / height
READERS = {"xml": parse, "text": convert}


@dataclass(frozen=True)
class Question:
    text: str
    reader: str = "xml"  # one of READERS
    aspect: float = 1.0  # width / height of the picture
    language: str = "en"  # or zh


def question(said: Any) -> Question:
    """The JSON body. Raises ValueError."""
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        raise ValueError("The request must be a JSON object with a text.")
    reader, aspect = said.get("reader", "xml"), said.get("aspect", 1.0)
    if reader not in READERS:
        raise ValueError(f"reader must be one of {', '.join(READERS)}.")
    if not isinstance(aspect, int | float) or not LEAST_ASPECT <= aspect <= MOST_ASPECT:
        raise ValueError(f"aspect must be a number from {LEAST_ASPECT} to {MOST_ASPECT}.")
    return Question(said["text"], reader, float(aspect), language_of(str(said.get("language", "en"))))


def verdict(asked: Question) -> dict[str, Any]:
    """problem: {message, line, column} or null; the warnings; every character's id, name and box; plain tags as XML."""
    answer: dict[str, Any] = {"problem": None, "warnings": [], "characters": [], "hint": None, "xml": None}
    try:
        scene = READERS[asked.reader](asked.text)
        answer["warnings"] = [_told(warning.message, warning, asked.language) for warning in scene.warnings]
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


def _told(message: Message, where: Any, language: str) -> dict[str, Any]:
    return {"message": message.text(language), "line": where.line, "column": where.column}
