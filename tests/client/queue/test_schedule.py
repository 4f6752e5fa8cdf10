"""The schedule by itself, and a thousand servers under it, with paces and failures that are drawn."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from newbie_pack.client.queue.schedule import DEPTH, FIRST_PROBE, MOST_TRIES, Schedule


def ready(jobs, *servers):
    schedule = Schedule(jobs, servers)
    assert schedule.probes(0.0) == list(servers)
    for server in servers:
        schedule.up(server, 0.0)
    return schedule


def test_a_server_gets_one_to_run_and_one_to_wait():
    schedule = ready("abcde", "x", "y")
    assert schedule.assign(0.0) == [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")]
    assert schedule.assign(1.0) == []
    schedule.ended("b", 2.0)
    assert schedule.assign(2.0) == [("e", "y")]
    assert schedule.left == 4


def test_the_last_jobs_go_to_whoever_ends_them_first():
    """x takes 1 s a job, y takes 10: even behind another job at x, the last one ends long before it would at y."""
    schedule = ready("abc", "x", "y")
    schedule._servers["x"].pace, schedule._servers["y"].pace = 1.0, 10.0
    assert schedule.assign(0.0) == [("a", "x"), ("b", "x")]
    schedule.ended("a", 1.0)
    assert schedule.assign(1.0) == [("c", "x")]


def test_a_server_that_goes_down_loses_its_jobs_and_they_come_first():
    schedule = ready("abcdef", "x", "y")
    schedule.assign(0.0)
    assert schedule.down("x", 1.0) == [] and schedule.at("x") == []
    schedule.ended("b", 2.0)
    schedule.ended("d", 2.0)
    assert schedule.assign(2.0) == [("c", "y"), ("e", "y")]
    schedule.ended("c", 3.0)
    assert schedule.assign(3.0) == [("f", "y")]
    schedule.ended("e", 4.0)
    assert schedule.assign(4.0) == []
    schedule.ended("f", 5.0)
    assert schedule.assign(5.0) == [("a", "y")]  # it may be what took x down: last, and alone
    assert schedule.wake() == 1.0 + FIRST_PROBE
    assert schedule.probes(1.0 + FIRST_PROBE) == ["x"] and schedule.wake() is None


def test_it_is_asked_again_ever_more_seldom():
    schedule, now, waits = Schedule("a", ["x"]), 0.0, []
    for _ in range(8):
        assert schedule.probes(now) == ["x"]
        schedule.down("x", now)
        waits.append(schedule.wake() - now)
        now = schedule.wake()
    assert waits == [2, 4, 8, 16, 30, 30, 30, 30] and schedule.dark(now) == now


def test_a_job_that_takes_servers_down_is_given_up():
    schedule = ready(["killer", "b"], "x", "y", "z", "w")
    schedule.assign(0.0)
    for number in range(1, 4):
        given_up = schedule.down(schedule._at["killer"], float(number))
        assert given_up == (["killer"] if number == MOST_TRIES else [])
        schedule.assign(float(number))
    assert schedule.left == 1


def test_a_job_that_only_waited_there_is_not_counted_against():
    schedule = ready("ab", "x")
    assert schedule.assign(0.0) == [("a", "x"), ("b", "x")]
    schedule.down("x", 1.0)
    schedule.up("x", 1.0)
    assert schedule.assign(1.0) == [("b", "x")] and schedule._tries == {"a": 1}


def test_what_one_server_cannot_do_goes_to_another_once():
    schedule = ready("ab", "x", "y")
    (a, first), (b, second) = schedule.assign(0.0)[:2]
    assert not schedule.unable(a, 1.0)
    other = "y" if first == "x" else "x"
    schedule.ended(b, 1.0)
    assert schedule.assign(1.0) == [(a, other)]
    assert schedule.unable(a, 2.0) and schedule.left == 0


def test_a_job_waits_for_the_one_server_that_can_do_it():
    """Which is slow, and would not end it in time: nobody else can."""
    schedule = ready("ab", "x", "y")
    schedule._servers["x"].pace, schedule._servers["y"].pace = 1.0, 100.0
    assert schedule.assign(0.0) == [("a", "x"), ("b", "x")]
    assert not schedule.unable("a", 1.0)
    schedule.assign(1.0)
    schedule.ended("b", 2.0)
    schedule.assign(2.0)
    assert schedule.at("y") == ["a"]


def test_what_is_under_way_from_before_is_not_sent():
    schedule = Schedule("abc", ["x"])
    schedule.adopt("b", "x", 0.0)
    schedule.up("x", 0.0)
    assert schedule.assign(0.0) == [("a", "x")] and schedule.at("x") == ["b", "a"]


# --- a thousand servers -----------------------------------------------------------------------------------------------

GONE = 2.0  # seconds until a process that has ended is noticed
PATIENCE = 60.0  # and a worker that has died while its process answers
FORGOTTEN = 6.0  # and a job that its host no longer knows
WRONG = 0.01  # of the prompts fail by their own fault
DEATHS = 6000.0  # seconds between two failures of a host: a third of them fail during the run


@dataclass
class Fake:
    """A host: how fast it is, what it has to do, and until when it is away."""

    pace: float
    queue: list = field(default_factory=list)
    life: int = 0  # what an earlier life had begun never ends
    away: float = 0.0
    absences: list = field(default_factory=list)  # (from, to)


def run(jobs: int, hosts: int, seed: int):
    """-> (seconds, how often each job ended, those that failed by their own fault, the hosts, failures by kind)."""
    chance = random.Random(seed)
    fakes = {str(n): Fake(chance.lognormvariate(3.0, 0.4)) for n in range(hosts)}  # 20 s a picture, most 13 to 30
    wrong = {str(n) for n in range(jobs) if chance.random() < WRONG}
    schedule, ends, failures = Schedule(map(str, range(jobs)), fakes), Counter(), Counter()
    events, count, now = [], 0, 0.0

    def later(seconds, kind, host, told=None):
        nonlocal count
        count += 1
        heapq.heappush(events, (now + seconds, count, kind, host, told))

    def begin(host):
        fake = fakes[host]
        if fake.queue and fake.away <= now:
            seconds = 0.1 if fake.queue[0] in wrong else fake.pace * chance.uniform(0.9, 1.1)
            later(seconds, "end", host, (fake.life, fake.queue[0]))

    def fail(host):
        """The process ends, or its worker, or somebody clears the queue."""
        fake, how = fakes[host], chance.choice(("process", "worker", "cleared"))
        failures[how] += 1
        if how == "cleared":
            for job in fake.queue[1:]:
                later(FORGOTTEN, "lost", host, job)
            del fake.queue[1:]
        else:
            away = chance.uniform(20, 120)  # until somebody has started it again
            fake.life, fake.away = fake.life + 1, now + away
            fake.absences.append((now, now + away))
            later(GONE if how == "process" else min(PATIENCE, away + FORGOTTEN), "down", host)
        later(max(fake.away - now, 0.0) + chance.expovariate(1 / DEATHS), "fail", host)

    for host in fakes:
        later(chance.expovariate(1 / DEATHS), "fail", host)
    while True:
        for host in schedule.probes(now):
            (schedule.up if fakes[host].away <= now else schedule.down)(host, now)
        for job, host in schedule.assign(now):
            assert len(fakes[host].queue) < DEPTH
            fakes[host].queue.append(job)
            if len(fakes[host].queue) == 1:
                begin(host)
        if not schedule.left:
            return now, ends, wrong, list(fakes.values()), failures
        wake = schedule.wake()
        if wake is not None and wake < events[0][0]:
            now = wake
            continue
        now, _, kind, host, told = heapq.heappop(events)
        fake = fakes[host]
        if kind == "fail":
            fail(host)
        elif kind == "end" and told[0] == fake.life:
            ends[fake.queue.pop(0)] += 1
            schedule.ended(told[1], now, drawn=told[1] not in wrong)
            begin(host)
        elif kind == "lost" and told in schedule.at(host):
            assert not schedule.lost(told, now)
        elif kind == "down":
            fake.queue.clear()
            assert not schedule.down(host, now)


def ideal(jobs: int, fakes) -> float:
    """Seconds in which that many could be done if every host that is there drew all the time, and lost nothing."""
    low, high = 0.0, 1e6
    while high - low > 0.01:
        end = (low + high) / 2
        there = (end - sum(max(0.0, min(to, end) - since) for since, to in fake.absences) for fake in fakes)
        done = sum(seconds / fake.pace for seconds, fake in zip(there, fakes, strict=True))
        low, high = (low, end) if done >= jobs else (end, high)
    return high


@pytest.mark.parametrize(("jobs", "hosts", "seed"), [(100_000, 1000, 1), (2000, 8, 2), (2000, 8, 3)])
def test_a_thousand_hosts_lose_nothing_double_nothing_and_hardly_idle(jobs, hosts, seed):
    seconds, ends, wrong, fakes, failures = run(jobs, hosts, seed)
    assert len(ends) == jobs and set(ends.values()) == {1}  # 0 lost, 0 doubled
    assert wrong and failures
    efficiency = ideal(jobs - len(wrong), fakes) / seconds
    print(f"{jobs} jobs, {hosts} hosts, {dict(failures)}: {seconds:.0f} s, {efficiency:.1%} of the ideal")
    assert efficiency >= 0.95
