# SPDX-License-Identifier: AGPL-3.0-only
"""The link against a far edge that keeps the protocol, dies, lies and talks nonsense."""

import logging
import os
import time

import pytest
from tests.agent.conftest import MakeAgent
from tests.support.agent_events import SOURCE, failed, started, succeeded
from tests.support.far_edge import AGENT_KEY, PROJECT, FarEdge, wait_until
from websockets.sync.server import ServerConnection

from queuedeck_agent import connect, system, wire
from queuedeck_agent.shipper import GRACE_S


def _ids(edge: FarEdge) -> list[str]:
    return sorted(event.task_id for event in edge.events(wire.TaskStarted))


def test_events_arrive_each_once(edge: FarEdge, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.recorder.declare_source(wire.SourceSeen(1, SOURCE, "celery", "redis://localhost"))
    agent.start_link("worker")
    for number in range(1_200):
        agent.recorder.emit(started(f"{number:04}"))
    wait_until(lambda: len(edge.received) == 1_201)
    assert _ids(edge) == [f"{number:04}" for number in range(1_200)]
    assert edge.duplicates == 0
    assert next(iter(edge.received.values())).source == SOURCE


def test_upgrade_request_carries_key_protocol_and_project(
    edge: FarEdge, make_agent: MakeAgent
) -> None:
    make_agent().start_link("worker")
    wait_until(lambda: edge.hellos)
    headers = {name.lower(): value for name, value in edge.requests[0].items()}
    assert headers["authorization"] == f"Bearer {AGENT_KEY}"
    assert headers["queuedeck-protocol"] == "1"
    assert headers["queuedeck-project"] == PROJECT
    assert headers["user-agent"].startswith("queuedeck-agent/")
    assert "origin" not in headers


def test_hello_is_sent_again_when_it_changed(edge: FarEdge, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.start_link("worker")
    wait_until(lambda: edge.hellos)
    agent.refresh_hello()
    wait_until(lambda: len(edge.hellos) == 2)
    assert edge.hellos[0].nonce == edge.hellos[1].nonce


def test_start_link_is_idempotent(edge: FarEdge, make_agent: MakeAgent) -> None:
    agent = make_agent()
    for role in ("producer", "worker", "producer", "worker"):
        agent.start_link(role)
    wait_until(lambda: edge.hellos)
    assert agent.role == "worker"
    assert len(edge.requests) == 1


def test_connection_is_logged_once_and_says_what(
    edge: FarEdge, make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "queuedeck_agent")
    make_agent().start_link("worker")
    wait_until(lambda: edge.hellos)
    wait_until(lambda: caplog.records)
    assert f"connected to http://127.0.0.1:{edge.port} as project shop" in caplog.text
    assert AGENT_KEY not in caplog.text


@pytest.mark.usefixtures("quick_reconnect")
@pytest.mark.parametrize("goodbye", [True, False], ids=["stopped", "killed"])
def test_outage_is_one_warning_and_one_line_at_its_end(
    goodbye: bool, edge: FarEdge, make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "queuedeck_agent")
    make_agent().start_link("worker")
    wait_until(lambda: caplog.records)
    if goodbye:
        edge.send(wire.Goodbye("the server stops"))
    edge.stop()
    wait_until(lambda: len(caplog.records) > 1)
    time.sleep(0.5)
    edge.start()
    wait_until(lambda: "connected again" in caplog.text)
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "INFO"], caplog.text


@pytest.mark.usefixtures("quick_reconnect")
def test_refusal_in_an_outage_is_told_as_well(
    edge: FarEdge, make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    edge.stop()
    make_agent().start_link("worker")
    wait_until(lambda: caplog.records)
    edge.answer = (401, {}, {"code": "x", "message": "revoked"})
    edge.start()
    wait_until(lambda: len(caplog.records) > 1)
    assert "Make a new DSN with `queuedeck keys create shop`" in caplog.text


@pytest.mark.usefixtures("quick_reconnect")
def test_lost_acks_do_no_harm(edge: FarEdge, make_agent: MakeAgent) -> None:
    edge.acks = False
    agent = make_agent()
    agent.start_link("worker")
    for number in range(100):
        agent.recorder.emit(started(str(number)))
    wait_until(lambda: len(edge.received) == 100)
    edge.stop()
    edge.acks = True
    edge.start()
    agent.recorder.emit(started("last"))
    wait_until(lambda: len(edge.received) == 101)
    assert edge.duplicates == 0, "the welcome said what the server had"


@pytest.mark.usefixtures("quick_reconnect")
def test_server_killed_and_back_loses_nothing(edge: FarEdge, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.start_link("worker")
    for round_ in range(5):
        for number in range(200):
            agent.recorder.emit(started(f"{round_}-{number}"))
        wait_until(lambda wanted=round_: len(edge.received) > wanted * 200)
        edge.stop()
        edge.start()
    wait_until(lambda: len(edge.received) == 1_000)
    assert len(_ids(edge)) == len(set(_ids(edge))) == 1_000


@pytest.mark.usefixtures("quick_reconnect")
@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xc1", b"\x93\xa3ack\x81", wire.encode(wire.Ack({"x" * 32: 3}))[:-1], "text"],
    ids=["empty", "not msgpack", "half", "cut off", "text"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_garbage_is_survived_and_logged_once(
    garbage: bytes | str,
    edge: FarEdge,
    make_agent: MakeAgent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(connection: ServerConnection, _: wire.Hello) -> bool:
        if len(edge.hellos) <= 3:
            connection.send(garbage)
        return len(edge.hellos) <= 3

    edge.on_hello = answer
    agent = make_agent()
    agent.start_link("worker")
    agent.recorder.emit(started("1"))
    wait_until(lambda: edge.received)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "sent something" in warnings[0].getMessage()


def test_unknown_message_kinds_are_ignored(edge: FarEdge, make_agent: MakeAgent) -> None:
    from queuedeck_agent import guard

    def answer(connection: ServerConnection, _: wire.Hello) -> bool:
        connection.send(b"\x92\xa7weather\xa4rain")
        return False

    edge.on_hello = answer
    agent = make_agent()
    agent.start_link("worker")
    agent.recorder.emit(started("1"))
    wait_until(lambda: edge.received)
    assert len(edge.requests) == 1
    assert guard.failures.pop("queuedeck_agent.session.unknown-message") == 1


@pytest.mark.usefixtures("quick_reconnect")
def test_ack_of_what_was_never_sent_deletes_nothing(edge: FarEdge, make_agent: MakeAgent) -> None:
    def lie(connection: ServerConnection, frame: wire.Frame) -> bool:
        if len(edge.frames) > 1:
            return False
        connection.send(wire.encode(wire.Ack({frame.parts[0].lane: 10_000})))
        return True

    edge.on_frame = lie
    agent = make_agent()
    agent.start_link("worker")
    agent.recorder.emit(started("1"))
    wait_until(lambda: edge.received)
    agent.recorder.emit(started("2"))
    wait_until(lambda: _ids(edge) == ["1", "2"])


@pytest.mark.usefixtures("quick_reconnect")
def test_welcome_beyond_the_lane_is_not_believed(edge: FarEdge, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.recorder.emit(started("1"))
    lane = agent.spool.lane_ids()[0]
    edge.committed[lane] = 1_000
    agent.start_link("worker")
    wait_until(lambda: len(edge.hellos) >= 2)
    edge.committed[lane] = 0
    wait_until(lambda: _ids(edge) == ["1"])


def test_nack_makes_the_agent_go_back(edge: FarEdge, make_agent: MakeAgent) -> None:
    def forget(connection: ServerConnection, frame: wire.Frame) -> bool:
        if len(edge.frames) != 2:
            return False
        connection.send(wire.encode(wire.Nack({frame.parts[0].lane: 1})))
        return True

    edge.on_frame = forget
    agent = make_agent()
    agent.start_link("worker")
    agent.recorder.emit(started("1"))
    wait_until(lambda: edge.received)
    agent.recorder.emit(started("2"))
    wait_until(lambda: _ids(edge) == ["1", "2"])
    assert len(edge.frames) == 3


def test_frames_stay_within_the_credit(edge: FarEdge, make_agent: MakeAgent) -> None:
    edge.credit, edge.acks = 20_000, False
    agent = make_agent()
    agent.start_link("worker")
    for number in range(2_000):
        agent.recorder.emit(failed(str(number)))
    wait_until(lambda: edge.frames)
    time.sleep(0.6)
    assert sum(edge.frames) < 20_000 + 5_000
    edge.send(wire.Credit(4 << 20))
    wait_until(lambda: len(edge.received) == 2_000)


def test_frames_are_bounded_in_events_and_bytes(edge: FarEdge, make_agent: MakeAgent) -> None:
    agent = make_agent()
    for number in range(1_100):
        agent.recorder.emit(wire.TaskFailed(1, SOURCE, str(number), 1, "E", "x" * 2_000))
    agent.start_link("worker")
    wait_until(lambda: len(edge.received) == 1_100)
    assert max(edge.frames) < (256 << 10) + 4_096


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "queuedeck keys create shop"),
        (403, "Use the DSN of that project"),
        (426, "Upgrade the older of the two"),
        (503, "busy or starting"),
        (404, "where a Queuedeck server would open a WebSocket"),
    ],
)
def test_refusal_is_one_warning_that_says_what_to_do(
    status: int,
    words: str,
    edge: FarEdge,
    make_agent: MakeAgent,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from queuedeck_agent import connect

    monkeypatch.setattr(connect, "wait_before", lambda attempt, trouble: 0.02)
    edge.answer = (status, {"Retry-After": "7"}, {"code": "x", "message": "the server's words"})
    agent = make_agent()
    agent.start_link("worker")
    agent.recorder.emit(started("1"))
    wait_until(lambda: len(edge.requests) >= 3)
    (warning,) = caplog.records
    assert words in warning.getMessage()
    assert "the server's words" in warning.getMessage()
    edge.answer = None
    wait_until(lambda: edge.received)


def test_retry_after_and_refusals_are_waited_out() -> None:
    from queuedeck_agent.connect import Trouble, wait_before

    waits = [wait_before(12, Trouble("x", "y")) for _ in range(200)]
    assert max(waits) <= 60.0
    assert max(wait_before(12, Trouble("x", "y", refused=True)) for _ in range(200)) > 60.0
    assert wait_before(1, Trouble("x", "y", retry_after_s=30.0)) > 30.0
    assert len({round(wait, 3) for wait in waits}) > 150, "spread out"


def test_server_away_is_one_warning_and_an_untroubled_host(
    edge: FarEdge, make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    edge.stop()
    agent = make_agent()
    agent.start_link("worker")
    wait_until(lambda: caplog.records)
    agent.recorder.emit(started("1"))
    assert "nothing listens at" in caplog.text
    edge.start()
    wait_until(lambda: edge.received, 15)


def test_stop_ships_what_is_left(edge: FarEdge, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.start_link("worker")
    wait_until(lambda: edge.hellos)
    for number in range(500):
        agent.recorder.emit(succeeded(str(number)))
    begun = time.monotonic()
    agent.stop(flush_s=1.0)
    assert len(edge.received) == 500
    assert time.monotonic() - begun < 1.5


def test_cancelled_tasks_of_the_welcome_are_known_everywhere(
    edge: FarEdge, make_agent: MakeAgent
) -> None:
    edge.cancelled = ((SOURCE, "late"),)
    agent, other = make_agent(), make_agent()
    agent.start_link("worker")
    wait_until(lambda: (SOURCE, "late") in agent.cancelled)
    wait_until(lambda: (SOURCE, "late") in other.cancelled)
    assert (SOURCE, "late") in make_agent().cancelled


def test_lane_that_the_server_forgot_is_bridged_by_a_loss(
    edge: FarEdge, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    agent.start_link("worker")
    for number in range(3_000):
        agent.recorder.emit(failed(str(number)))
    wait_until(lambda: len(edge.received) == 3_000)
    edge.stop()
    before = len(edge.received)
    edge.committed.clear()
    edge.received.clear()
    edge.covered.clear()
    edge.start()
    agent.recorder.emit(failed("last"))
    wait_until(lambda: any(e.task_id == "last" for e in edge.events(wire.TaskFailed)), 15)
    (lane,) = edge.covered
    assert edge.covered[lane] == set(range(1, before + 2)), "no number is missing"
    assert edge.lost() > 0


def test_lane_that_nobody_ships_is_left_to_a_link_that_is_not_refused(
    edge: FarEdge, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with a revoked key runs on, beside one with the new key."""
    monkeypatch.setattr(connect, "wait_before", lambda attempt, trouble: 600.0)
    edge.answer = (401, {}, "This key is not valid.")
    make_agent().start_link("worker")
    wait_until(lambda: edge.requests)
    quiet = make_agent()
    quiet.recorder.emit(started("of a process without a link"))
    quiet.recorder.close()
    time.sleep(3 * GRACE_S)
    edge.answer = None
    make_agent().start_link("worker")
    wait_until(lambda: _ids(edge) == ["of a process without a link"], 4 * GRACE_S)


@pytest.mark.usefixtures("quick_reconnect")
def test_lanes_of_others_are_given_back_when_the_connection_ends(
    edge: FarEdge, make_agent: MakeAgent
) -> None:
    first = make_agent()
    first.start_link("worker")
    quiet = make_agent()
    quiet.recorder.emit(started("1"))
    quiet.recorder.close()
    wait_until(lambda: _ids(edge) == ["1"], 4 * GRACE_S)
    edge.answer = (401, {}, "This key is not valid.")
    edge.connections[0].close()
    wait_until(lambda: len(edge.requests) > 1)
    lane = next(iter(edge.covered))
    folder = first.spool.lanes_folder
    assert folder is not None
    lock = system.try_lock(folder / lane / "ship", create=False)
    assert lock >= 0
    os.close(lock)
