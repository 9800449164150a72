# SPDX-License-Identifier: AGPL-3.0-only
"""An operation over failed tasks of three engines goes on through kills of the server: every task
is retried once, none is in doubt, all are counted, and no faster than was chosen.
"""

import sys
from pathlib import Path

import msgspec
import pytest
from tests.support.e2e_server import eventually
from tests.support.operations_agent import Plan

from queuedeck.demo.children import start

REPOSITORY = Path(__file__).parents[2]
PATHS = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/app:{REPOSITORY}/agent"}
ENGINES = {"celery": "ce1e00000000", "rq": "0f0000000000", "dramatiq": "d0a000000000"}
FULL = [pytest.mark.chaos, pytest.mark.timeout(2_400)]
BURST_S = 2.0
"""What the rate lets leave at once after a halt, and what clocks and buffers shift."""


@pytest.fixture
def crew(place):
    """Starts one agent of each engine, with so many failed tasks; ends them after the test."""
    started = []

    def begin(tasks):
        for engine, source in ENGINES.items():
            plan = Plan(
                place.server.url, place.project.slug, key_of(place.project.dsn), engine, source,
                tasks, str(place.folder / f"{engine}.acts"),
            )  # fmt: skip
            command = [sys.executable, "-m", "tests.support.operations_agent"]
            command.append(msgspec.json.encode(plan).decode())
            started.append(start(f"agent-{engine}", command, place.folder, PATHS))

    yield begin
    for process in started:
        process.stop()


@pytest.mark.parametrize(
    ("tasks", "rate", "kills"),
    [(1_000, 200, 1), pytest.param(33_334, 400, 5, marks=FULL)],
    ids=["3,000", "100,000"],
)
def test_operation_goes_on_through_kills_with_exact_counts(place, crew, tasks, rate, kills):
    api, total = place.project.api, tasks * len(ENGINES)
    crew(tasks)
    eventually(lambda: _failed(api) == total, 60 + total / 500, 0.5)
    body = {"verb": "retry", "q": "state:failed", "rate": rate, "reason": "chaos"}
    made = api.ask("POST", "/operations", json=body, expect=202)["operation"]
    assert (made["expected"], made["expected_acts"]) == (total, total)
    for kill in range(1, kills + 1):
        share = total * kill // (kills + 1)
        eventually(lambda share=share: _counts(api, made)["done"] >= share, 60 + total / rate * 4)
        place.server.kill()
        place.server.start()
    found = eventually(lambda: _ended(api, made), 300 + total / rate * 4, 0.5)
    counts = found["counts"]
    assert sum(counts.values()) == total
    acts = _acts(place.folder)
    assert not [line for line in acts if line[0] == "wrong"]
    names = [name for _, name in acts]
    assert len(names) == len(set(names)), "a task was retried twice"
    assert counts["unknown"] + counts["open"] == 0
    assert counts["done"] == len(names) == total
    eventually(lambda: _succeeded(api) == len(names), 60)
    assert _fastest(acts) <= rate * (5 + BURST_S)


def key_of(dsn):
    return dsn.partition("://")[2].partition("@")[0]


def _failed(api):
    return _state(api, "failed")


def _succeeded(api):
    return _state(api, "succeeded")


def _state(api, state):
    states = api.ask("GET", "/totals")["states"]
    return sum(by.get(state, 0) for by in states.values())


def _counts(api, made):
    return api.ask("GET", f"/operations/{made['id']}")["operation"]["counts"]


def _ended(api, made):
    found = api.ask("GET", f"/operations/{made['id']}")["operation"]
    return found if found["state"] == "finished" else None


def _acts(folder):
    return [
        line.split(maxsplit=1)
        for engine in ENGINES
        for line in (folder / f"{engine}.acts").read_text().splitlines()
    ]


def _fastest(acts):
    """The most acts of all agents within five seconds."""
    moments = sorted(float(at) for at, _ in acts)
    first = most = 0
    for last, at in enumerate(moments):
        while at - moments[first] > 5:
            first += 1
        most = max(most, last - first + 1)
    return most
