"""What the host's page asks of this pack: the verdict on a prompt while it is typed, and the page on its language.
Programs ask for its version.

The host lets only its own page call these. A request that is not JSON, which a form on another page could send, is
refused, and so is a long one. Nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

import nodes as host

from ..version import mini_version, pack_version
from ..xml_prompt import Message, PromptError, Scene, convert, language_of, layout, parse, to_xml, vocabulary
from . import language_page
from .prompt import plain_tags_hint, with_character, with_surroundings

ROOT = "/newbie_xml"
WEB = Path(__file__).resolve().parent.parent / "web"
HELP = {"en": "{}.md", "zh-TW": "{}/zh.md"}  # the page's locale -> where help in it lies
MOST_BYTES = 1_000_000  # of a request
LEAST_ASPECT, MOST_ASPECT = 1 / 16, 16.0  # width / height
READERS = {"xml": parse, "text": convert}


def register() -> None:
    """Adds them to a running host."""
    from server import PromptServer

    if hasattr(PromptServer, "instance"):  # else: nodes in a script, without a page
        add_to(PromptServer.instance.routes)
        for name, folder in host.EXTENSION_WEB_DIRS.items():
            if Path(folder).resolve() == WEB:
                add_help(PromptServer.instance.routes, name)


def add_help(routes: web.RouteTableDef, pack: str) -> None:
    """The page asks for help as docs/NODE/LOCALE.md, then in English as docs/NODE.md: what of it has no such file."""

    @routes.get(f"/extensions/{pack}/docs/{{node:NewBie[A-Za-z]+}}/{{locale:{'|'.join(HELP)}}}.md")
    async def of_node(request: web.Request) -> web.StreamResponse:
        page = WEB / "docs" / HELP[request.match_info["locale"]].format(request.match_info["node"])
        if not page.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(page, headers={"Content-Type": "text/markdown"})


def add_to(routes: web.RouteTableDef) -> None:
    @routes.get(f"{ROOT}/version")
    async def version(request: web.Request) -> web.Response:
        mini = await asyncio.to_thread(mini_version)
        return web.json_response({"version": pack_version(), "mini": mini})

    @routes.get(f"{ROOT}/check")
    async def words(request: web.Request) -> web.Response:
        return web.json_response(vocabulary())

    @routes.post(f"{ROOT}/check")
    async def check(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "The request must be JSON."}, status=415)
        body = await request.content.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES or not request.content.at_eof():
            return web.json_response({"error": f"The prompt is longer than {MOST_BYTES} bytes."}, status=413)
        try:
            asked = question(json.loads(body))
        except (ValueError, RecursionError) as problem:  # JSON's own too
            return web.json_response({"error": str(problem)}, status=400)
        return web.json_response(await asyncio.to_thread(verdict, asked))

    @routes.get(f"{ROOT}/{{page}}")
    async def language(request: web.Request) -> web.Response:
        if request.match_info["page"] not in language_page.PAGES:
            raise web.HTTPNotFound
        return web.Response(text=language_page.page(request.match_info["page"]), content_type="text/html")


# The reader's own verdict and the layout: pure functions from a request's JSON to the answer's


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
