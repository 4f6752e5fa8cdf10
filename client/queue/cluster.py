"""Stations on a Ray cluster: one actor a card, each with a ComfyUI process of its own on loopback.

Ray places the actors, starts one anew when it dies, and carries prompts and pictures; the actor starts its host anew.
No port is opened to the network. The pack lies under the same path on every machine; Ray is not among its requirements.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

from .. import api
from ..answers import HostError, Interrupted
from ..environment import ROOT
from ..problem import Problem
from ..workflow import Prompt
from .station import Drawn, Show, Station

KINDS = {kind.__name__: kind for kind in (HostError, Interrupted, api.Gone, api.Stuck, Problem)}
PATIENCE = 10.0  # seconds for a cluster's head to answer
AT_ONCE = 8  # calls at an actor: two jobs, a check, and what is being cancelled


@contextlib.contextmanager
def cluster(address: str, actors: int | None) -> Iterator[list[Station]]:
    """Of the cluster at that address, or of this machine alone where it is empty. Raises Problem."""
    try:
        import ray
    except ImportError:
        install = f'"{sys.executable}" -m pip install "ray>=2.40"'
        raise Problem(f"--ray needs Ray, which is not installed: {install}") from None
    where = {"address": address} if address else {"address": "local", "include_dashboard": False}
    try:
        if ":" in address:  # Ray itself would try for minutes
            host, _, port = address.rpartition("/")[2].rpartition(":")
            socket.create_connection((host, int(port)), PATIENCE).close()
        ray.init(**where, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError) as error:
        raise Problem(f"Ray does not answer at {address or 'this machine'}: {str(error).strip()}.") from error
    try:
        cards = int(ray.cluster_resources().get("GPU", 0))
        count = actors or cards or sum(node["Alive"] for node in ray.nodes())
        card = {"num_gpus": 1} if cards else {"num_cpus": 1}
        most = cards or int(ray.cluster_resources().get("CPU", 0))
        if count > most:
            raise Problem(f"--actors {count} is more than this cluster has: {most} {'cards' if cards else 'cores'}.")
        actor = ray.remote(max_restarts=-1, max_concurrency=AT_ONCE, **card)(actor_class())
        names = ("COMFYUI_PATH", "COMFYUI_PYTHON", "NEWBIE_HOME", "NEWBIE_DEVICE")
        variables = {name: os.environ[name] for name in names if name in os.environ}
        yield [Card(f"ray {n}", actor.remote(str(ROOT), variables, f"ray {n}")) for n in range(1, count + 1)]
    finally:
        ray.shutdown()


class Card:
    """The actor, seen from here."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name, self._actor = name, actor

    async def check(self, graph: Prompt) -> dict[str, str]:
        return await self._ask("check", graph)

    async def draw(self, graph: Prompt, job_id: str, show: Show) -> Drawn:
        pictures, seconds = await self._ask("draw", graph, job_id)
        return Drawn(tuple(pictures), seconds)

    async def close(self) -> None:
        import ray

        with contextlib.suppress(Problem):
            await self._ask("close")
        ray.kill(self._actor)

    async def _ask(self, verb: str, *what: Any) -> Any:
        import ray

        answer = getattr(self._actor, verb).remote(*what)
        try:
            told = await answer
        except asyncio.CancelledError:
            ray.cancel(answer)
            raise
        except ray.exceptions.RayError as error:
            why = str(error).strip().partition("\n")[0]
            raise Problem(f"{self.name}: its actor ended, and Ray starts it again ({why}).") from error
        if "error" in told:
            problem = KINDS.get(told["error"], Problem)(told["sentence"])
            if isinstance(problem, HostError):
                problem.kinds = frozenset(told["kinds"])
            raise problem
        return told["answer"]


def actor_class() -> type:
    """The actor. It travels to machines where nothing of the pack is imported yet, so it imports all that it needs."""

    class CardActor:
        def __init__(self, root: str, variables: dict[str, str], name: str) -> None:
            import importlib.util
            import os
            from pathlib import Path

            os.environ.update(variables)
            spec = importlib.util.spec_from_file_location("newbie_inside", f"{root}/client/inside.py")
            inside = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(inside)
            inside.load_pack(Path(root))
            from newbie_pack.client.environment import locate
            from newbie_pack.client.queue.station import Local

            here = locate(Path(root))
            self.local = Local(here, name, flags=("--output-directory", str(here.home / "output" / name)))

        async def check(self, graph: dict) -> dict:
            return await self.told(self.local.check(graph))

        async def draw(self, graph: dict, job_id: str) -> dict:
            async def work() -> tuple:
                drawn = await self.local.draw(graph, job_id, lambda progress: None)
                return drawn.pictures, drawn.seconds

            return await self.told(work())

        async def close(self) -> dict:
            return await self.told(self.local.close())

        async def told(self, work: Any) -> dict:
            from newbie_pack.client.problem import Problem

            try:
                return {"answer": await work}
            except Problem as problem:
                kind = type(problem).__name__
                return {"error": kind, "sentence": str(problem), "kinds": list(getattr(problem, "kinds", ()))}

    return CardActor
