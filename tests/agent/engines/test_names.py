# SPDX-License-Identifier: AGPL-3.0-only
"""A host that allows some tasks only: what the broker calls a task counts, whatever a command says
of its id. The messages are real ones, on real brokers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.dramatiq_harness import DramatiqHarness
from tests.conformance.harness import Commander, Harness, call
from tests.conformance.rq_harness import RqHarness
from tests.conformance.taskiq_harness import TaskiqHarness
from tests.conformance.test_arq import ArqHarness
from tests.conformance.test_celery import CeleryHarness
from tests.conformance.test_huey import HueyHarness

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.runner import Runner

pytestmark = pytest.mark.engine
ENGINES = (CeleryHarness, RqHarness, DramatiqHarness, HueyHarness, ArqHarness, TaskiqHarness)


@pytest.fixture(params=ENGINES, ids=lambda one: one.engine)
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """Its worker is not started: tasks wait."""
    harness: Harness = request.param(tmp_path)
    yield harness
    harness.close()


def carry_out(commander: Commander, verb: str, task_id: str, name: str, queue: str) -> object:
    agent = commander.agent
    agent.register(commander.engine)
    body = wire.CommandBody(
        "0" * 32, agent.family, b"", "shop", verb, commander.engine.info().source, task_id, name,
        60, queue=queue,
    )  # fmt: skip
    agent.policy.check(body)
    return Runner(agent)._execute(body)  # pyright: ignore[reportPrivateUsage]


def test_false_name_of_an_id_opens_no_other_task(worker: Harness) -> None:
    task_id = worker.send(call("note", "kept"))
    before = worker.waiting()
    commander = worker.commander("cancel", "terminate", "move", "priority", folder=worker.spool)
    commander.agent.policy.tasks = ("shop.*",)
    for verb in ("cancel", "terminate", "move", "priority"):
        with pytest.raises(CommandRefused) as refused:
            carry_out(commander, verb, task_id, "shop.send", worker.queue)
        assert refused.value.code in ("refused", "unsupported")
    assert worker.waiting() == before
    assert len(commander.agent.cancelled) == 0


def test_task_that_is_allowed_is_cancelled(worker: Harness) -> None:
    name = call("note").name
    task_id = worker.send(call("note", "gone"))
    commander = worker.commander("cancel", folder=worker.spool)
    commander.agent.policy.tasks = (name,)
    carry_out(commander, "cancel", task_id, name, worker.queue)
    assert worker.waiting() == set()


def test_id_that_nobody_knows_is_not_cancelled(worker: Harness) -> None:
    name = call("note").name
    worker.send(call("note", "another"))
    commander = worker.commander("cancel", folder=worker.spool)
    commander.agent.policy.tasks = (name,)
    with pytest.raises(CommandRefused):
        carry_out(commander, "cancel", "0" * 32, name, worker.queue)
    assert len(commander.agent.cancelled) == 0
