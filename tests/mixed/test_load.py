# SPDX-License-Identifier: AGPL-3.0-only
"""A mixed load with retries, time limits, cancellations and kills: the states that the server
shows equal the truth, and where the engine's own store says otherwise, its page says so."""

from collections import Counter

import pytest
from tests.mixed.conftest import Place
from tests.mixed.engines import ENGINES
from tests.mixed.load import Load

ROUND = 150
"""Tasks in the short version."""
ROUNDS = 14
"""So that the long one has over 2,000."""


def run(place: Place, engine: str, rounds: int) -> tuple[Load, "Counter[str]"]:
    """The load, and how many tasks ended in each state."""
    worker, api = place(engine)
    load = Load(worker.start(), api, seed=7)
    for _ in range(rounds):
        load.round(ROUND)
    load.wait()
    return load, Counter(load.truth().values())


def differing_words(load: Load) -> list[str]:
    """Where the engine's own store says something else than its page has."""
    found: list[str] = []
    truth, worker = load.truth(), load.engine
    for one in load.sent:
        expected = worker.words.get(truth[one.task_id], ())
        if one.kind == "killed" and truth[one.task_id] == worker.after_kill:
            expected = (worker.after_kill_word,)
        word = worker.word(one.task, one.task_id)
        if word not in expected:
            found.append(f"{one.kind} {one.task_id}: {word}, not {expected}")
    return found


@pytest.mark.engine
@pytest.mark.parametrize("engine", ENGINES)
def test_states_are_what_happened(place: Place, engine: str) -> None:
    load, states = run(place, engine, rounds=1)
    assert states["succeeded"] > 100
    assert states["failed"] > 20
    assert states["cancelled"] > 0
    assert differing_words(load) == []


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", ENGINES)
def test_states_of_many_are_what_happened(place: Place, engine: str) -> None:
    load, states = run(place, engine, rounds=ROUNDS)
    assert sum(states.values()) >= 2000
    assert differing_words(load) == []
