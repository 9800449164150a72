# SPDX-License-Identifier: AGPL-3.0-only
"""Real processes: children ship through the parent, the dead are shipped by others."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.agent.conftest import MakeAgent
from tests.support.agent_events import SOURCE, started
from tests.support.far_edge import PROJECT, FarEdge, wait_until

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent

Spawn = Callable[..., "subprocess.Popen[str]"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def spawn(edge: FarEdge, tmp_path: Path) -> Iterator[Spawn]:
    running: list[subprocess.Popen[str]] = []
    root = edge.root.public_key().public_bytes_raw().hex()

    def start(*work: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.agent_process",
                str(tmp_path / "spool"),
                str(edge.port),
                root,
                *work,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        if work[0] != "emit-and-exit":
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        _kill_group(process)
        if process.stdout is not None:
            process.stdout.close()


def _kill_group(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_process_is_shipped_by_another(
    edge: FarEdge, make_agent: MakeAgent, spawn: Spawn
) -> None:
    process = spawn("emit", "3000")
    _kill_group(process)
    make_agent().start_link("worker")
    wait_until(lambda: len(edge.received) == 3_000)
    assert edge.duplicates == 0


def test_children_ship_through_their_parent(edge: FarEdge, spawn: Spawn) -> None:
    spawn("fork", "3", "400")
    wait_until(lambda: len(edge.received) == 1_200)
    assert len(edge.requests) == 1, "one connection for the whole family"
    assert len({lane for lane, _ in edge.received}) == 3


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("lent", [False, True], ids=["that stays", "for one task"])
def test_child_holds_nothing_open_of_the_link(
    edge: FarEdge, make_agent: MakeAgent, lent: bool
) -> None:
    """A child for one task keeps locks and memory, which end with it: to let go would cost more."""
    agent = make_agent()
    agent.start_link("worker")
    agent.recorder.emit(started("a"))
    wait_until(lambda: len(edge.received) == 1)
    held = _of_the_link(agent)
    assert held <= _open_files()
    assert any(file.endswith("/ship") for file in held)
    assert any(file.startswith("socket:") for file in held)
    assert _mapped_segments()
    if lent:
        agent.recorder.lend()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        kept = [*held & _open_files(), *_mapped_segments()]
        if lent:
            kept = [one for one in kept if one.startswith("socket:")]
        os.write(writing, repr(kept).encode())
        os._exit(0)
    os.close(writing)
    agent.recorder.lent_to(child)
    os.waitpid(child, 0)
    with os.fdopen(reading) as found:
        assert found.read() == "[]"
    agent.recorder.emit(started("b"))
    wait_until(lambda: len(edge.received) == 2)
    assert len(edge.requests) == 1, "the parent's connection is as it was"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_child_for_one_task_does_not_wait_for_its_parents_link_when_it_forks(
    edge: FarEdge, make_agent: MakeAgent
) -> None:
    """The link was held for the fork of the child, where nobody lets it go again."""
    agent = make_agent()
    agent.start_link("worker")
    wait_until(lambda: bool(edge.welcomed))
    link = agent._link
    assert link is not None
    agent.recorder.lend()
    child = os.fork()
    if child == 0:
        inherited = dict(link._parked)
        if (grandchild := os.fork()) == 0:
            os._exit(0)
        os.waitpid(grandchild, 0)
        os._exit(0 if inherited and link._parked == inherited else 1)
    agent.recorder.lent_to(child)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    agent.recorder.emit(started("a"))
    wait_until(lambda: len(edge.received) == 1)


def _of_the_link(agent: Agent) -> set[str]:
    """What its descriptors lead to: the far edge has sockets of its own in this process."""
    link = agent._link
    assert link is not None
    session = link._session
    assert session is not None
    files = [one.fileno() for one in session.sockets]
    files += [reader.lock for reader in link.shipper.readers.values()]
    return {str(Path(f"/proc/self/fd/{file}").readlink()) for file in files}


def _open_files() -> set[str]:
    files: set[str] = set()
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            files.add(str(file.readlink()))
    return files


def _mapped_segments() -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if ".seg" in line]


def test_family_killed_in_mid_stream_loses_nothing_recorded(
    edge: FarEdge, make_agent: MakeAgent, spawn: Spawn
) -> None:
    edge.credit = 10_000
    process = spawn("fork", "2", "5000")
    wait_until(lambda: edge.frames)
    _kill_group(process)
    edge.credit = 4 << 20
    agent = make_agent()
    agent.start_link("worker")
    wait_until(lambda: edge.committed and agent._link is not None and agent._link.shipper.lanes)
    link = agent._link
    assert link is not None
    wait_until(lambda: len(link.shipper.lanes) >= 2 and link.shipper.drained, 20)
    for lane, last in edge.committed.items():
        assert edge.covered[lane] == set(range(1, last + 1))
    assert edge.lost() == 0


def test_short_lived_producer_ships_before_it_ends(edge: FarEdge, spawn: Spawn) -> None:
    process = spawn("emit-and-exit", "50")
    process.wait(10)
    wait_until(lambda: len(edge.received) == 50)


def test_one_producer_of_many_has_the_link(edge: FarEdge, make_agent: MakeAgent) -> None:
    producers = [make_agent() for _ in range(3)]
    for number, agent in enumerate(producers):
        agent.start_link("producer")
        agent.recorder.emit(started(str(number)))
    wait_until(lambda: len(edge.received) == 3)
    assert len(edge.requests) == 1


def test_crash_while_acting_is_reported_as_unknown_and_not_repeated(
    edge: FarEdge, make_agent: MakeAgent, spawn: Spawn, tmp_path: Path
) -> None:
    process = spawn("slow-command")
    wait_until(lambda: edge.hellos)
    hello = edge.hellos[0]
    body = wire.CommandBody(
        "c" * 32, hello.agent_id, hello.nonce, PROJECT, "cancel", SOURCE, "t", "shop.send", 60
    )
    edge.send_command(body)
    acted = tmp_path / "spool" / "acted"
    wait_until(acted.exists)
    _kill_group(process)
    make_agent().start_link("worker")
    wait_until(lambda: edge.events(wire.CommandFailed))
    (failure,) = edge.events(wire.CommandFailed)
    assert (failure.command_id, failure.code) == ("c" * 32, "unknown")
    assert acted.read_text() == "c" * 32 + "\n"
