"""A ComfyUI on loopback that draws nothing: a queue, a worker, a history and the jobs API, and every way to break.

What its worker does is told by the prompt itself: "wrong" fails, "memory" is too much for it, "disk" finds no room,
"poison" ends the whole server, "hang" never ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

from aiohttp import web

KINDS = {"NewBieLoader", "NewBieXMLPrompt", "NewBieSample", "NewBieSize", "SaveImage"}
GRAPH = {
    "1": {"class_type": "NewBieLoader", "inputs": {"diffusion_model": "NewBie mini (built in)"}},
    "2": {"class_type": "NewBieXMLPrompt", "inputs": {"xml": ""}},
    "3": {"class_type": "NewBieSample", "inputs": {"seed": 1, "steps": 4, "eta": 0.3, "model": ["1", 0]}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    "5": {"class_type": "NewBieSize", "inputs": {"size": "mini 320 x 320"}},
}


def png(value: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    pixel = zlib.compress(b"\x00" + value.to_bytes(3, "big"))
    header = b"\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


class FakeComfy:
    def __init__(self, seconds: float = 0.01, port: int = 0) -> None:
        self.seconds, self.port = seconds, port
        self.kinds, self.version = set(KINDS), "0.30.0"
        self.received: Counter[str] = Counter()  # of every prompt's text and seed
        self.drawn: Counter[tuple[str, int]] = Counter()
        self.cancelled: list[str] = []
        self.jobs_api = True
        self.worker_lives = True
        self.start()

    def start(self) -> None:
        """Empty, as after every start."""
        self.waiting: list[tuple[str, dict, str]] = []
        self.running: tuple[str, dict, str] | None = None
        self.history: dict[str, dict] = {}
        self.files: dict[str, bytes] = {}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self._loop = asyncio.new_event_loop()
        self._over, ready = asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def kill(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._over.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(10)

    def clear(self) -> None:
        self.waiting.clear()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._wake = asyncio.Event()
        worker = asyncio.create_task(self._work())
        ready.set()
        await self._over.wait()
        worker.cancel()
        for socket in self.sockets.values():
            await socket.close()
        await runner.cleanup()

    # --- the worker ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            while not self.waiting:
                self._wake.clear()
                await self._wake.wait()
            self.running = self.waiting.pop(0)
            job_id, graph, client = self.running
            text, seed = graph["2"]["inputs"]["xml"], graph["3"]["inputs"]["seed"]
            start = time.time()
            await self._tell(client, "executing", node="3", prompt_id=job_id)
            if "poison" in text:
                self._over.set()
                return
            if "hang" in text or not self.worker_lives:
                await asyncio.Event().wait()
            await asyncio.sleep(self.seconds)
            await self._tell(client, "progress", node="3", value=4, max=4, prompt_id=job_id)
            error = None
            for word, kind, sentence in (
                ("wrong", "ValueError", "line 1: <a> is never closed."),
                ("memory", "torch.OutOfMemoryError", "Allocation on device 0 failed"),
                ("disk", "OSError", "[Errno 28] No space left on device: 'a.png'"),
            ):
                if word in text:
                    told = {"node_id": "3", "node_type": "NewBieSample", "exception_message": sentence}
                    error = ["execution_error", {**told, "exception_type": kind, "timestamp": time.time() * 1000}]
            if self.running is None:  # interrupted
                error = ["execution_interrupted", {"node_id": "3", "timestamp": time.time() * 1000}]
            outputs = {}
            if error is None:
                self.drawn[text, seed] += 1
                name = f"{job_id}.png"
                self.files[name] = png(zlib.crc32(f"{text}{seed}".encode("utf-8", "replace")) & 0xFFFFFF)
                outputs = {"4": {"images": [{"filename": name, "subfolder": "", "type": "output"}]}}
            messages = [["execution_start", {"timestamp": start * 1000}]]
            messages.append(error or ["execution_success", {"timestamp": time.time() * 1000}])
            status = {"status_str": "error" if error else "success", "completed": not error, "messages": messages}
            self.history[job_id] = {"prompt": [0, job_id, graph, {}, []], "outputs": outputs, "status": status}
            self.running = None
            await self._tell(client, "executing", node=None, prompt_id=job_id)

    async def _tell(self, client: str, kind: str, **data: object) -> None:
        socket = self.sockets.get(client)
        if socket is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await socket.send_json({"type": kind, "data": data})

    # --- the answers --------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, body = request.path, None
        if request.method == "POST":
            body = await request.json()
        if path == "/ws":
            socket = self.sockets[request.query["clientId"]] = web.WebSocketResponse()
            await socket.prepare(request)
            async for _ in socket:
                pass
            return socket
        if path == "/system_stats":
            system = {"comfyui_version": self.version, "pytorch_version": "2"}
            return web.json_response({"system": system, "devices": [{"name": "fake"}]})
        if path.startswith("/object_info/"):
            kind = path.rpartition("/")[2]
            return web.json_response({kind: {}} if kind in self.kinds else {})
        if path == "/prompt":
            return self._queue(body)
        if path == "/view":
            data = self.files.get(request.query["filename"])
            return web.Response(body=data) if data else web.Response(status=404)
        if path.startswith("/api/jobs/") and self.jobs_api:
            return self._job(path.split("/"))
        if path.startswith("/history/"):
            job_id = path.rpartition("/")[2]
            return web.json_response({job_id: self.history[job_id]} if job_id in self.history else {})
        if path == "/queue" and body is None:
            running = [[0, self.running[0]]] if self.running else []
            return web.json_response({"queue_running": running, "queue_pending": [[0, one[0]] for one in self.waiting]})
        if path in ("/queue", "/interrupt"):
            for job_id in body.get("delete") or [body.get("prompt_id")]:
                self._cancel(job_id)
            return web.Response()
        return web.Response(status=404, text="404: Not Found")

    def _queue(self, body: dict) -> web.Response:
        graph, job_id = body["prompt"], body["prompt_id"]
        self.received[graph["2"]["inputs"]["xml"]] += 1
        unknown = [node for node in graph.values() if node["class_type"] not in self.kinds]
        if unknown or "refused" in graph["2"]["inputs"]["xml"]:
            kind = "missing_node_type" if unknown else "custom_validation_failed"
            error = {"type": kind, "message": "m", "details": "xml - the sentence"}
            return web.json_response({"error": error, "node_errors": {"2": {"errors": [error]}}}, status=400)
        self.waiting.append((job_id, graph, body["client_id"]))
        self._wake.set()
        return web.json_response({"prompt_id": job_id, "number": 1, "node_errors": {}})

    def _job(self, parts: list[str]) -> web.Response:
        job_id = parts[3]
        if parts[-1] == "cancel":
            self._cancel(job_id)
            return web.json_response({"cancelled": True})
        if job_id in self.history:
            record = self.history[job_id]
            parts_of = {"outputs": record["outputs"], "execution_status": record["status"]}
            return web.json_response({"status": "completed", "workflow": {"prompt": record["prompt"][2]}, **parts_of})
        if self.running and self.running[0] == job_id:
            return web.json_response({"status": "in_progress"})
        if any(one[0] == job_id for one in self.waiting):
            return web.json_response({"status": "pending"})
        return web.json_response({"error": "Job not found"}, status=404)

    def _cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)
        self.waiting = [one for one in self.waiting if one[0] != job_id]
        if self.running and self.running[0] == job_id and self.worker_lives:
            self.running = None


PROGRAM = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_comfy import FakeComfy
FakeComfy(seconds=0.3, port=int(sys.argv[sys.argv.index("--port") + 1]))
while True:
    time.sleep(60)
"""  # a main.py that answers as this does
