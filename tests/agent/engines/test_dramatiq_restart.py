# SPDX-License-Identifier: AGPL-3.0-only
"""One `dramatiq` command with two worker processes, each with a link and an agent of its own."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.dramatiq_harness import DramatiqHarness
from tests.conformance.harness import call, eventually, key
from tests.support import spool

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.engines.dramatiq import worker_commands

pytestmark = pytest.mark.engine
Details = wire.CommandDetails


class Pair(DramatiqHarness):
    """Both of them get commands."""

    def command(self) -> list[str]:
        return [*super().command()[:2], "-p", "2", "-t", "1"]

    def is_ready(self) -> bool:
        return self.text.count("ready for action") == 2

    def agents(self) -> dict[str, wire.Hello]:
        """Worker name -> what its agent said last."""
        assert self.edge is not None
        return {
            one.engines[0].worker: one
            for one in self.edge.hellos
            if one.engines and one.engines[0].role == "worker"
        }

    def tell(self, hello: wire.Hello, verb: str, queue: str = "", **details: Any) -> str:
        """The command's id; does not wait for the answer."""
        body = wire.CommandBody(
            uuid.uuid4().hex, hello.agent_id, hello.nonce, "shop", verb, hello.engines[0].source,
            "", "", 60, queue=queue, details=Details(**details),
        )  # fmt: skip
        assert self.edge is not None
        self.edge.order(body)
        return body.command_id

    def answer(self, command_id: str) -> Any:
        answers = (wire.CommandDone, wire.CommandFailed)
        found = eventually(
            lambda: [
                one
                for one in spool.events(self.spool)
                if isinstance(one, answers) and one.command_id == command_id
            ]
        )
        return found[0]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    try:
        pair.link("worker", "pause").start()
        eventually(lambda: len(pair.agents()) == 2)
        yield pair
    finally:
        pair.close()


def test_restart_of_both_at_once_kills_nothing_that_runs(pair: Pair) -> None:
    """A second signal to Dramatiq's command would end its processes at once."""
    names = [key(), key()]
    for name in names:
        pair.send(call("sleep", name, 2))
        eventually(lambda n=name: pair.told("sleeps", n))
    before = {int(one.pid) for one in pair.agents().values()}
    asked = [pair.tell(hello, "restart") for hello in list(pair.agents().values())]
    effects = [pair.answer(one).effect for one in asked]
    assert sorted("stops already" in one for one in effects) == [False, True]
    eventually(lambda: all(pair.told("slept", name) for name in names))
    eventually(lambda: len({int(one.pid) for one in pair.agents().values()} - before) == 2, 30)
    assert "Killing worker process" not in pair.text
    pair.event(wire.TaskSucceeded, pair.send(call("add", 1, 1)))
    assert [len(pair.told("sleeps", name)) for name in names] == [1, 1]


def test_pause_of_one_process_holds_for_all_of_the_host(pair: Pair) -> None:
    first, _ = pair.agents().values()
    assert pair.answer(pair.tell(first, "pause", pair.queue)).verified
    assert stays(lambda: pair.queue_length() == 0, 0.4)  # so long the other one needs to see it
    waits = [pair.send(call("add", 1, n)) for n in range(4)]
    assert stays(lambda: pair.queue_length() == 4, 1.0)
    pair.answer(pair.tell(first, "resume", pair.queue))
    for one in waits:
        pair.event(wire.TaskSucceeded, one)


def test_drain_of_one_process_leaves_the_other(pair: Pair) -> None:
    (name, first), (other, _) = pair.agents().items()
    assert pair.answer(pair.tell(first, "drain", worker=name)).verified
    for number in range(4):
        started = pair.event(wire.TaskStarted, pair.send(call("add", 1, number)))
        assert started.worker == other


def test_command_that_would_not_come_back_is_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m dramatiq` starts itself again with the `python` of PATH."""
    monkeypatch.setattr(worker_commands.multiprocessing, "parent_process", lambda: object())
    monkeypatch.setattr(sys, "argv", ["/anywhere/dramatiq/__main__.py"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert "would not come back" in worker_commands.no_restart(True)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert worker_commands.no_restart(True) == ""
    assert "nobody would start it" in worker_commands.no_restart(False)
