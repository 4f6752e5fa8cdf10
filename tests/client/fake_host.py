"""A server on loopback that answers as a host does, or as badly as a test wants."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable

from aiohttp import web

ID = "11111111-2222-3333-4444-555555555555"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeHost:
    """`events` go out over the socket once a prompt is queued; `answers` takes a path's place in full.

    ID stands for the prompt's id wherever a test writes it. Without `jobs` it is a host that has no jobs API.
    """

    def __init__(self) -> None:
        self.refuse: dict | None = None
        self.node_errors: dict = {}
        self.events: list[tuple[str, dict] | str | bytes] = []
        self.close_socket = False
        self.jobs, self.id = True, ID
        self.record: dict | None = {"outputs": {}, "status": {"messages": []}}
        self.queue = {"queue_running": [[0, ID, {}, {}, []]], "queue_pending": []}
        self.asked: list[tuple[str, dict | None]] = []
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self._loop = asyncio.new_event_loop()
        self._queued, self._stopped = asyncio.Event(), asyncio.Event()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/ws" and path not in self.answers:
            return await self._socket(request)
        body = await request.json() if request.can_read_body else None
        if path == "/prompt":
            self.id, self.prompt = body["prompt_id"], body["prompt"]
            self._queued.set()
        path = path.replace(self.id, ID)
        self.asked.append((path, body))
        special = next((answer for start, answer in self.answers.items() if path.startswith(start)), None)
        if special is not None:
            return await special(request)
        if path == "/prompt" and self.refuse is not None:
            return web.json_response(self.refuse, status=400)
        if path == "/prompt":
            return web.json_response({"prompt_id": self.id, "number": 1, "node_errors": self.node_errors})
        if self.jobs and path.startswith("/api/jobs/"):
            return self._job(path)
        if path == f"/history/{ID}":
            return self._of_prompt({ID: self.record} if self.record else {})
        if path == "/queue" and body is None:
            return self._of_prompt(self.queue)
        if path in ("/queue", "/interrupt"):
            return web.Response()
        name = request.query.get("filename", "")
        if path == "/view" and name in self.files:
            return web.Response(body=self.files[name])
        return web.Response(status=404)

    def _job(self, path: str) -> web.Response:
        if path.endswith("/cancel"):
            return web.json_response({"cancelled": True})
        if self.record:
            parts = {"outputs": self.record.get("outputs"), "execution_status": self.record.get("status")}
            return self._of_prompt({"id": ID, "status": "completed", "workflow": {"prompt": self.prompt}, **parts})
        for status, place in (("in_progress", "queue_running"), ("pending", "queue_pending")):
            if any(entry[1] == ID for entry in self.queue[place]):
                return self._of_prompt({"id": ID, "status": status})
        return web.json_response({"error": "Job not found"}, status=404)

    def _of_prompt(self, answer: object) -> web.Response:
        return web.json_response(text=json.dumps(answer).replace(ID, self.id))

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self._queued.wait()
        for event in self.events:
            if isinstance(event, bytes):
                await socket.send_bytes(event)
            elif isinstance(event, str):
                await socket.send_str(event.replace(ID, self.id))
            else:
                text = json.dumps({"type": event[0], "data": event[1]})
                await socket.send_str(text.replace(ID, self.id))
                await socket.send_bytes(b"\x00\x00\x00\x01preview")
        if self.close_socket:
            await socket.close()
            return socket
        async for _ in socket:
            pass
        return socket
