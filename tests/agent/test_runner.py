# SPDX-License-Identifier: AGPL-3.0-only
"""Commands: only signed, meant for us, permitted, in time, and at most once."""

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.agent.conftest import MakeAgent
from tests.support.agent_events import SOURCE, started
from tests.support.far_edge import PROJECT, SEAL, FarEdge, wait_until

from queuedeck_agent import session, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.journal import Journal, unfinished
from queuedeck_agent.runner import WAITING_COMMANDS


class FakeEngine:
    """An adapter that does what a test says."""

    name = "celery"
    app = SimpleNamespace(tasks={}, conf=SimpleNamespace())
    supports = ">=5"
    version = "5.6"

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self.act: Callable[[], object] = lambda: None
        self.found = b""

    def capabilities(self) -> tuple[wire.Capability, ...]:
        return (wire.Capability("retry", "native"),)

    def attach(self, agent: Agent) -> None: ...
    def detach(self) -> None: ...

    def info(self) -> wire.EngineInfo:
        return wire.EngineInfo("celery", "5.6", SOURCE, "producer", "celery@host")

    def name_of(self, command: wire.CommandBody) -> str:
        return command.task_name

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        self.calls.append((command.command_id, call))
        self.act()
        return wire.CommandDone(1, command.command_id, "sent again", "new-id", found=self.found)


class Host:
    """A connected agent with a fake engine, and the means to command it."""

    def __init__(self, edge: FarEdge, agent: Agent) -> None:
        self.edge, self.agent, self.engine = edge, agent, FakeEngine()
        agent.register(self.engine)
        agent.start_link("worker")
        wait_until(lambda: edge.hellos)
        self.hello = edge.hellos[0]

    def body(self, command_id: str = "1" * 32, **changes: object) -> wire.CommandBody:
        body = wire.CommandBody(
            command_id,
            self.hello.agent_id,
            self.hello.nonce,
            PROJECT,
            "retry",
            SOURCE,
            "t1",
            "shop.send",
            60,
            sealed=self.agent.seals.seal(PROJECT, SOURCE, "shop.send", "t1", b"original call"),
            actor="ada@example.org",
        )
        return msgspec.structs.replace(body, **changes)

    def failure(self) -> wire.CommandFailed:
        wait_until(lambda: self.edge.events(wire.CommandFailed))
        return self.edge.events(wire.CommandFailed)[0]


@pytest.fixture
def host(edge: FarEdge, make_agent: MakeAgent) -> Host:
    return Host(edge, make_agent(allow_tasks=("shop.*",)))


def test_retry_gets_the_original_call_and_is_reported(host: Host) -> None:
    host.edge.send_command(host.body())
    wait_until(lambda: host.edge.events(wire.CommandDone))
    (done,) = host.edge.events(wire.CommandDone)
    assert (done.command_id, done.effect, done.new_task_id) == ("1" * 32, "sent again", "new-id")
    assert host.engine.calls == [("1" * 32, b"original call")]


def test_replayed_command_acts_once(host: Host) -> None:
    body = host.body()
    for _ in range(3):
        host.edge.send_command(body)
    host.edge.send_command(host.body("2" * 32))
    wait_until(lambda: len(host.edge.events(wire.CommandDone)) == 2)
    assert [one for one, _ in host.engine.calls] == ["1" * 32, "2" * 32]


@pytest.mark.usefixtures("quick_reconnect")
def test_command_that_comes_again_after_a_break_acts_once_and_quietly(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    body = host.body()
    host.edge.send_command(body)
    wait_until(lambda: host.edge.events(wire.CommandDone))
    host.edge.stop()
    host.edge.start()
    wait_until(lambda: len(host.edge.hellos) == 2)
    again = msgspec.structs.replace(body, nonce=host.edge.hellos[1].nonce)
    wait_until(lambda: host.edge.welcomed == 2)
    host.edge.send_command(again)
    host.edge.send_command(host.body("2" * 32, nonce=again.nonce))
    wait_until(lambda: len(host.edge.events(wire.CommandDone)) == 2)
    assert [one for one, _ in host.engine.calls] == ["1" * 32, "2" * 32]
    assert "came twice" not in caplog.text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nonce": b"0" * 16}, "invalid"),
        ({"project": "other"}, "invalid"),
        ({"ttl_s": 0}, "expired"),
        ({"verb": "purge"}, "refused"),
        ({"task_name": "billing.charge"}, "refused"),
        ({"source": "000000000000"}, "unsupported"),
        ({"task_id": "another"}, "invalid"),
        ({"sealed": b""}, "invalid"),
        ({"sealed": b"ffffffff" + bytes(40)}, "unsupported"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_command_that_must_not_act_is_refused_and_reported(
    change: dict[str, Any], code: str, host: Host
) -> None:
    host.edge.send_command(host.body(**change))
    failure = host.failure()
    assert (failure.command_id, failure.code) == ("1" * 32, code)
    assert len(failure.message) > 20
    assert host.engine.calls == []


def test_command_of_another_agent_is_left_to_it(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.edge.send_command(host.body(agent_id="e" * 32))
    wait_until(lambda: "made for another agent" in caplog.text)
    host.edge.send_command(host.body("2" * 32))
    wait_until(lambda: host.edge.events(wire.CommandDone))
    assert [one for one, _ in host.engine.calls] == ["2" * 32]
    assert host.edge.events(wire.CommandFailed) == []


def test_command_of_another_key_is_refused(host: Host) -> None:
    host.edge.command = Ed25519PrivateKey.generate()
    host.edge.send_command(host.body())
    assert host.failure().code == "invalid"
    assert host.engine.calls == []


def test_altered_command_is_refused(host: Host) -> None:
    raw = wire.encode(host.body())
    signature = host.edge.command.sign(wire.COMMAND_CONTEXT + raw)
    host.edge.send(wire.Command(raw.replace(b"shop.send", b"shop.sand"), signature))
    assert host.failure().code == "invalid"
    assert host.engine.calls == []


def test_command_key_that_root_did_not_certify_is_refused(
    edge: FarEdge, make_agent: MakeAgent
) -> None:
    config_root, edge.root = edge.root, Ed25519PrivateKey.generate()
    agent = make_agent()
    edge.root = config_root
    host = Host(edge, agent)
    edge.send_command(host.body())
    assert host.failure().code == "invalid"


def test_slow_command_does_not_hold_up_acks(host: Host) -> None:
    host.engine.act = lambda: time.sleep(2)
    host.edge.send_command(host.body())
    wait_until(lambda: host.engine.calls)
    host.agent.recorder.emit(started("meanwhile"))
    begun = time.monotonic()
    wait_until(lambda: host.edge.events(wire.TaskStarted))
    assert time.monotonic() - begun < 1.8


def test_engine_that_raises_is_reported(host: Host) -> None:
    def fail() -> None:
        raise ConnectionError("broker away")

    host.engine.act = fail
    host.edge.send_command(host.body())
    assert host.failure().code == "error"
    assert "broker away" in host.failure().message


def test_command_waiting_beyond_its_time_is_not_carried_out(host: Host) -> None:
    host.engine.act = lambda: time.sleep(1.2)
    host.edge.send_command(host.body())
    host.edge.send_command(host.body("2" * 32, ttl_s=1))
    failure = host.failure()
    assert (failure.command_id, failure.code) == ("2" * 32, "expired")


def test_cancel_is_remembered_before_the_engine_acts(host: Host) -> None:
    host.edge.send_command(host.body(verb="cancel", sealed=b""))
    wait_until(lambda: host.edge.events(wire.CommandDone))
    assert (SOURCE, "t1") in host.agent.cancelled


def test_welcome_cancels_only_where_the_host_allows_it(
    edge: FarEdge, make_agent: MakeAgent
) -> None:
    edge.cancelled = ((SOURCE, "t1"),)
    wary, willing = (make_agent(allow=allow) for allow in (("observe", "retry"), ("cancel",)))
    wary.start_link("worker")
    wary.recorder.emit(started("shipped after the welcome"))
    wait_until(lambda: edge.events(wire.TaskStarted))
    assert (SOURCE, "t1") not in wary.cancelled
    willing.start_link("worker")
    wait_until(lambda: (SOURCE, "t1") in willing.cancelled)


def test_cancelled_task_of_another_name_is_not_stopped(make_agent: MakeAgent) -> None:
    agent = make_agent(allow_tasks=("shop.*",))
    agent.cancelled.add([(SOURCE, "t1")])
    assert agent.cancelled.stops(SOURCE, "t1", "shop.send")
    assert not agent.cancelled.stops(SOURCE, "t1", "billing.charge")


def test_orders_beyond_what_can_wait_are_answered_at_once(host: Host) -> None:
    go_on = threading.Event()
    host.engine.act = lambda: go_on.wait(30)
    for number in range(WAITING_COMMANDS + 50):
        host.edge.send_command(host.body(f"{number:032x}"))
    wait_until(lambda: len(host.edge.events(wire.CommandFailed)) >= 49)
    assert {one.code for one in host.edge.events(wire.CommandFailed)} == {"rate"}
    assert len(host.engine.calls) == 1
    begun = time.monotonic()
    host.agent.stop(flush_s=0.1)
    assert time.monotonic() - begun < 2
    go_on.set()
    time.sleep(0.1)
    assert len(host.engine.calls) == 1


def test_waiting_orders_are_bounded_in_bytes(host: Host) -> None:
    go_on = threading.Event()
    host.engine.act = lambda: go_on.wait(30)
    large = {"sealed": bytes(1 << 20)}
    for number in range(12):
        host.edge.send_command(host.body(f"{number:032x}", **large if number else {}))
    wait_until(lambda: len(host.edge.events(wire.CommandFailed)) >= 3)
    go_on.set()


def test_engine_that_leaves_by_an_exit_is_reported(host: Host) -> None:
    def leave() -> None:
        raise SystemExit(3)

    host.engine.act = leave
    host.edge.send_command(host.body())
    assert host.failure().code == "error"
    host.engine.act = lambda: None
    host.edge.send_command(host.body("2" * 32))
    wait_until(lambda: host.edge.events(wire.CommandDone))


def test_outcome_that_no_lane_can_hold_is_told_without_what_was_found(host: Host) -> None:
    host.engine.found = bytes(200_000)
    host.edge.send_command(host.body())
    wait_until(lambda: host.edge.events(wire.CommandDone))
    (done,) = host.edge.events(wire.CommandDone)
    assert (done.found, done.new_task_id) == (b"", "new-id")


def test_server_writes_no_lines_of_its_own_into_the_log(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.edge.send_command(host.body(actor="ada\nCRITICAL all is lost \x1b[31m", verb="purge"))
    assert host.failure().code == "refused"
    assert "asked for by ada CRITICAL all is lost  [31m: refused" in caplog.text


@pytest.mark.usefixtures("quick_reconnect")
def test_connection_is_made_anew_before_its_commands_are_forgotten(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MOST_COMMANDS", 3)
    for number in range(3):
        host.edge.send_command(host.body(f"{number:032x}", verb="purge"))
    wait_until(lambda: len(host.edge.hellos) == 2)
    assert host.edge.hellos[1].nonce != host.hello.nonce
    wait_until(lambda: len(host.edge.events(wire.CommandFailed)) == 3)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("", []),
        ("begin a\n", [("a", b"")]),
        ("begin a\nresult a 6869\n", [("a", b"hi")]),
        ("begin a\nresult a 6869\nend a\n", []),
        ("begin a\nend a\nbegin b\n", [("b", b"")]),
        ("begin a\nresult a 68", [("a", b"h")]),
        ("begin a\nresult a 686", [("a", b"")]),
        ("beg", []),
    ],
)
def test_journal_is_recalled_at_every_crash_point(
    steps: str, expected: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "dead.journal").write_text(steps)
    assert list(unfinished(tmp_path)) == expected
    assert list(unfinished(tmp_path)) == []


def test_journal_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "alive")
    journal.begin("a")
    assert list(unfinished(tmp_path)) == []
    journal.close()
    assert list(unfinished(tmp_path)) == [("a", b"")]


def test_journal_begin_is_on_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    journal = Journal(tmp_path, "f")
    path = tmp_path / "commands" / "f.journal"
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_text()))
    journal.begin("a")
    journal.close()
    assert synced == ["begin a\n"]


def test_journal_holds_only_what_is_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "f")
    path = tmp_path / "commands" / "f.journal"
    for number in range(1_000):
        journal.begin(str(number))
        journal.result(str(number), bytes(1_000))
        journal.end(str(number))
    assert path.stat().st_size == 0
    journal.begin("open")
    journal.close()
    assert list(unfinished(tmp_path)) == [("open", b"")]
    emptied = Journal(tmp_path, "f")
    emptied.close()
    assert not path.exists()


def test_line_that_the_disk_takes_only_half_of_is_taken_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "f")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="space left"):
            journal.begin("a" * 32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "commands" / "f.journal").read_bytes() == b""


def test_sealed_call_opens_only_for_its_own_task(edge: FarEdge, make_agent: MakeAgent) -> None:
    seals = make_agent().seals
    blob = seals.seal("p", "s", "name", "id", b"x" * 16_384)
    assert blob.startswith(SEAL.kid.encode())
    assert seals.open("p", "s", "name", "id", blob) == b"x" * 16_384
    for place in (("q", "s", "name", "id"), ("p", "s", "name", "other")):
        with pytest.raises(CommandRefused):
            seals.open(*place, blob)
    with pytest.raises(CommandRefused):
        seals.open("p", "s", "name", "id", blob[:-1] + bytes([blob[-1] ^ 1]))
    assert seals.seal("p", "s", "name", "id", b"x" * 16_385) == b""


def test_name_with_a_zero_byte_binds_nothing(make_agent: MakeAgent) -> None:
    seals = make_agent().seals
    blob = seals.seal("p", "s", "name", "x\x00id", b"call")
    assert blob == b""
    with pytest.raises(CommandRefused):
        seals.open("p", "s", "name\x00x", "id", seals.seal("p", "s", "name", "id", b"call"))
