"""What the host's page asks of this pack: the verdict on a prompt while it is typed, and the page on its language.
Programs ask for its version.

The host lets only its own page call these. A request that is not JSON, which a form on another page could send, is
refused, and so is a long one. Nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp import web

import nodes as host

from ..version import mini_version, pack_version
from ..xml_prompt import vocabulary
from . import language_page
from .prompt_check import question, verdict

ROOT = "/newbie_xml"
WEB = Path(__file__).resolve().parent.parent / "web"
MOST_BYTES = 1_000_000  # of a request


def register() -> None:
    """Adds them to a running host."""
    from server import PromptServer

    if hasattr(PromptServer, "instance"):  # else: nodes in a script, without a page
        add_to(PromptServer.instance.routes)
        for name, folder in host.EXTENSION_WEB_DIRS.items():
            if Path(folder).resolve() == WEB:
                add_help(PromptServer.instance.routes, name)


def add_help(routes: web.RouteTableDef, pack: str) -> None:
    """The page asks for help as docs/NODE/LOCALE.md first, and English help lies in docs/NODE.md."""

    @routes.get(f"/extensions/{pack}/docs/{{node:NewBie[A-Za-z]+}}/en.md")
    async def english(request: web.Request) -> web.StreamResponse:
        page = WEB / "docs" / f"{request.match_info['node']}.md"
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
