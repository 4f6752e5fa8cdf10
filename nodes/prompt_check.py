"""What the page asks while a prompt is typed: the reader's own verdict, the layout, and the words of the language.

One route, POST /newbie_xml/check, takes and gives JSON. The host lets only its own page call it; a request that is not
JSON, so that a form on another page can't send it, is refused, and so is a long one. Nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ..xml_prompt import (
    Message,
    PromptError,
    PromptWarning,
    Scene,
    convert,
    language_of,
    layout,
    parse,
    to_xml,
    vocabulary,
)

PATH = "/newbie_xml/check"
MOST_BYTES = 1_000_000  # of a request
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


def plain_tags_hint(text: str, scene: Scene) -> PromptWarning | None:
    """For XML Prompt: tags without any element are all of the whole picture's, which is seldom what was meant."""
    if scene.characters or "<" in text or not text.strip():
        return None
    return PromptWarning(0, 0, Message("No characters found: use NewBie Text to XML for plain tags."))


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
        answer |= {"hint": hint.text(asked.language), "xml": _converted(asked.text)}
    return answer


def register() -> None:
    """Adds the route to a running host's. GET gives the vocabulary, which never changes while the host runs."""
    from server import PromptServer

    if not hasattr(PromptServer, "instance"):  # nodes in a script: there is no page
        return
    routes = PromptServer.instance.routes

    @routes.get(PATH)
    async def words(request: web.Request) -> web.Response:
        return web.json_response(vocabulary())

    @routes.post(PATH)
    async def check(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "The request must be JSON."}, status=415)
        body = await request.content.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES or not request.content.at_eof():
            return web.json_response({"error": f"The prompt is longer than {MOST_BYTES} bytes."}, status=413)
        try:
            asked = question(json.loads(body))
        except ValueError as problem:  # JSON's own too
            return web.json_response({"error": str(problem)}, status=400)
        return web.json_response(await asyncio.to_thread(verdict, asked))


def _told(message: Message, where: Any, language: str) -> dict[str, Any]:
    return {"message": message.text(language), "line": where.line, "column": where.column}


def _converted(text: str) -> str | None:
    try:
        return to_xml(convert(text))
    except PromptError:
        return None
