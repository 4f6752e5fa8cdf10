"""Which job goes to which server, and when: no I/O, no clock and no threads, so that a day of it runs in seconds.

Whoever carries it out tells what has happened (`up`, `down`, `ended`, `lost`, `unable`), each with the time, then asks
what to do now: `assign` gives jobs to send, `probes` servers to ask whether they can take any, `wake` the time at which
to ask again if nothing happens before.

A server runs one job at a time, so each is sent one to run and one to wait: it never idles between the two, and what a
fast one has done by then decides how many it gets. Towards the end that would leave the last jobs waiting behind slow
ones; then a server is sent a job only if it will have ended it by the time at which all servers together, each at the
pace it has shown, could have ended all that are left.

No job is ever at two servers, and none is forgotten: a server that is down loses its jobs, and they come first. But the
one that it was at may be what has taken it down: that comes last, alone at a server, and is given up after MOST_TRIES.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

DEPTH = 2  # jobs at a server: one runs, one waits
MOST_TRIES = 3  # servers that a job may take down, or be lost by
FIRST_PROBE, LAST_PROBE = 2.0, 30.0  # seconds until a server that is down is asked again; doubled each time
PACE = 0.3  # of a server's last job in its pace; the rest is of those before
TAIL = 10  # jobs a server that wait: with more the end is too far to be foreseen
FORESEEN = 1.05  # and it is foreseen anew when this many fewer wait


@dataclass
class _Server:
    up: bool = False
    jobs: dict[str, float] = field(default_factory=dict)  # when each was sent, in that order
    pace: float | None = None  # seconds a job
    idle_since: float = 0.0  # when it last ended a job
    wait: float = FIRST_PROBE


class Schedule:
    def __init__(self, jobs: Iterable[str], servers: Iterable[str]) -> None:
        self._waiting = deque(jobs)
        self._servers = {name: _Server() for name in servers}
        self._at: dict[str, str] = {}  # job -> server
        self._tries: dict[str, int] = {}
        self._unable: dict[str, set[str]] = {}  # job -> servers that can't take it
        self._probes = dict.fromkeys(self._servers, 0.0)  # when to ask whether they are up; not those that are
        self._room: dict[str, None] = {}  # servers that are up and have room
        self._foreseen = (-1, 0.0)  # how many waited, and when all of them can be done
        self._up = 0  # servers that are
        self._dark: float | None = None  # since when no server is up; None: one is, or none has been asked

    @property
    def left(self) -> int:
        return len(self._waiting) + len(self._at)

    def at(self, server: str) -> list[str]:
        return list(self._servers[server].jobs)

    def dark(self, now: float) -> float | None:
        """For how many seconds no server has been up; None while one is."""
        return None if self._dark is None else now - self._dark

    # --- what has happened --------------------------------------------------------------------------------------------

    def adopt(self, job: str, server: str, now: float) -> None:
        """A job is at a server already, since an earlier run."""
        self._waiting.remove(job)
        self._send(job, server, now)

    def up(self, server: str, now: float) -> None:
        one = self._servers[server]
        self._up += not one.up
        self._foreseen = (-1, 0.0)
        one.up, one.wait, one.idle_since, self._dark = True, FIRST_PROBE, now, None
        self._see_room(server)

    def down(self, server: str, now: float, for_good: bool = False) -> list[str]:
        """It takes no more jobs until it is up, and its jobs wait again. Returns those that are given up."""
        one = self._servers[server]
        self._up -= one.up
        self._foreseen = (-1, 0.0)
        if not for_good:
            self._probes[server] = now + one.wait
        one.up, one.wait = False, min(one.wait * 2, LAST_PROBE)
        self._room.pop(server, None)
        if self._dark is None and not self._up:
            self._dark = now
        first, *others = one.jobs or [None]
        for job in reversed(others):
            self._take(job)
            self._waiting.appendleft(job)
        return [first] if first is not None and self.lost(first, now) else []

    def ended(self, job: str, now: float, drawn: bool = True) -> None:
        """Done, or failed by its own fault: it is never sent again. What failed says nothing of the server's pace."""
        server = self._servers[self._at[job]]
        seconds = now - max(server.jobs[job], server.idle_since)
        if drawn:
            server.pace = seconds if server.pace is None else (1 - PACE) * server.pace + PACE * seconds
        server.idle_since = now
        self._take(job)

    def lost(self, job: str, now: float) -> bool:
        """Its server no longer has it, and it may be why. Returns whether it is given up."""
        self._take(job)
        self._tries[job] = self._tries.get(job, 0) + 1
        if self._tries[job] >= MOST_TRIES:
            return True
        self._waiting.append(job)
        return False

    def unable(self, job: str, now: float) -> bool:
        """Its server can't do it, though others may. Returns whether it is given up, as no server is left for it."""
        self._unable.setdefault(job, set()).add(self._at[job])
        self._take(job)
        if len(self._unable[job]) == len(self._servers):
            return True
        self._waiting.append(job)
        return False

    # --- what to do ---------------------------------------------------------------------------------------------------

    def assign(self, now: float) -> list[tuple[str, str]]:
        """(job, server) of every job that is to be sent now; they count as sent."""
        sent = []
        for busy in range(DEPTH):  # whoever idles first
            for server in list(self._room):
                jobs = self._servers[server].jobs
                alone = any(job in self._tries for job in jobs)
                if self._waiting and len(jobs) == busy and not alone and self._in_time(server, now):
                    sent += self._send_next(server, now)
        if not self._at:  # nothing will happen by itself: whoever can take one does
            for server in list(self._room):
                sent += self._send_next(server, now)
        return sent

    def probes(self, now: float) -> list[str]:
        """Servers to ask now whether they can take jobs; `up` or `down` is the answer."""
        due = [server for server, at in self._probes.items() if at <= now]
        for server in due:
            del self._probes[server]
        return due

    def wake(self) -> float | None:
        """When to ask for probes again; None: nothing is to be done before something happens."""
        return min(self._probes.values(), default=None)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _in_time(self, name: str, now: float) -> bool:
        """Whether the server would end one more job by the time at which all that wait can be done."""
        many = len(self._waiting)
        if many > TAIL * self._up:
            return True
        if not many <= self._foreseen[0] <= many * FORESEEN or self._foreseen[1] <= now:
            self._foreseen = (many, self._end(now))
        server = self._servers[name]
        return self._start(server, now) + (len(server.jobs) + 1) * self._pace(server) <= self._foreseen[1]

    def _end(self, now: float) -> float:
        """When all that wait can be done, by whole jobs."""
        up = [(self._start(one, now), self._pace(one), len(one.jobs)) for one in self._servers.values() if one.up]
        low, high = now, now + max(pace for _, pace, _ in up)
        while sum(max(0, int((high - start) / pace) - jobs) for start, pace, jobs in up) < len(self._waiting):
            low, high = high, now + 2 * (high - now)
        while high - low > (high - now) / 100:
            middle = (low + high) / 2
            done = sum(max(0, int((middle - start) / pace) - jobs) for start, pace, jobs in up)
            low, high = (low, middle) if done >= len(self._waiting) else (middle, high)
        return high

    def _start(self, one: _Server, now: float) -> float:
        """When it began the job that it is at; or so that it ends it now, where it takes longer than usual."""
        return max(next(iter(one.jobs.values())), one.idle_since, now - self._pace(one)) if one.jobs else now

    def _pace(self, one: _Server) -> float:
        if one.pace is not None:
            return max(one.pace, 1e-6)
        known = [other.pace for other in self._servers.values() if other.pace is not None]
        return max(sum(known) / len(known), 1e-6) if known else 1.0

    def _send_next(self, server: str, now: float) -> list[tuple[str, str]]:
        for place, job in enumerate(self._waiting):
            alone = job in self._tries and self._servers[server].jobs
            if not alone and server not in self._unable.get(job, ()):
                del self._waiting[place]
                self._send(job, server, now)
                return [(job, server)]
        return []

    def _send(self, job: str, server: str, now: float) -> None:
        self._servers[server].jobs[job] = now
        self._at[job] = server
        self._see_room(server)

    def _take(self, job: str) -> None:
        server = self._at.pop(job)
        del self._servers[server].jobs[job]
        self._see_room(server)

    def _see_room(self, server: str) -> None:
        one = self._servers[server]
        if one.up and len(one.jobs) < DEPTH:
            self._room[server] = None
        else:
            self._room.pop(server, None)
