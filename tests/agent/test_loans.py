# SPDX-License-Identifier: AGPL-3.0-only
"""A lane that a parent lends to the children it forks: real forks, and what children may do."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.agent_events import started

from queuedeck_agent import forks, wire
from queuedeck_agent.recorder import Recorder
from queuedeck_agent.segment import Segment
from queuedeck_agent.spool import Spool


class Family:
    """A recorder that follows forks as the agent's does."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.recorder = Recorder(spool)
        forks.follow(self)

    def before_fork(self) -> None:
        self.lends = self.recorder.lends

    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None:
        if not self.lends:
            self.recorder.abandon()

    def fork(self, work: Callable[[], None], lend: bool = True) -> int:
        """A child that works and leaves by `os._exit`; its pid, to be waited for."""
        if lend:
            self.recorder.lend()
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(0)
        if lend:
            self.recorder.lent_to(child)
        return child

    def emit(self, *names: str) -> None:
        for name in names:
            self.recorder.emit(started(name))

    def recorded(self) -> dict[str, list[str]]:
        """Lane -> names in order; the numbers must be consecutive."""
        found: dict[str, list[str]] = {}
        for lane in self.spool.lane_ids():
            store = self.spool.store_of(lane)
            numbers: list[int] = []
            for first in store.firsts():
                segment = store.open(first)
                for number, payload in segment.records():
                    numbers.append(number)
                    event = wire.decode_event(payload)
                    assert isinstance(event, wire.TaskStarted)
                    found.setdefault(lane, []).append(event.task_id)
                segment.close()
            assert numbers == list(range(1, len(numbers) + 1))
        return found


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    (tmp_path / "lanes").mkdir()
    family = Family(Spool("f" * 32, tmp_path, 64 << 20))
    yield family
    family.recorder.close()


def test_children_write_one_after_the_other_into_one_lane(family: Family) -> None:
    for number in range(20):
        os.waitpid(family.fork(lambda n=number: family.emit(f"a{n}", f"b{n}")), 0)
    names = [f"{one}{number}" for number in range(20) for one in "ab"]
    assert list(family.recorded().values()) == [names]


def test_killed_child_leaves_what_it_wrote_and_the_lane(family: Family) -> None:
    def write_and_die() -> None:
        family.emit("before")
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(family.fork(write_and_die), 0)
    os.waitpid(family.fork(lambda: family.emit("after")), 0)
    assert list(family.recorded().values()) == [["before", "after"]]


def test_child_that_fills_segments_is_followed(family: Family) -> None:
    many = [f"{number:0400d}" for number in range(1_000)]
    os.waitpid(family.fork(lambda: family.emit(*many)), 0)
    (lane,) = family.spool.lane_ids()
    store = family.spool.store_of(lane)
    assert len(store.firsts()) > 1
    os.waitpid(family.fork(lambda: family.emit("next")), 0)
    assert list(family.recorded().values()) == [[*many, "next"]]


def test_child_that_is_killed_between_two_segments_is_followed(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next segment is there, and nothing is in it; the one before does not say it was left."""

    def die(_: Segment) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    many = [f"{number:0400d}" for number in range(1_000)]
    monkeypatch.setattr(Segment, "leave", die)
    os.waitpid(family.fork(lambda: family.emit(*many)), 0)
    monkeypatch.undo()
    again = ["has room where the first one was", *many]
    os.waitpid(family.fork(lambda: family.emit(*again)), 0)
    (names,) = family.recorded().values()
    written = len(names) - len(again)
    assert 0 < written < len(many)
    assert names == [*many[:written], *again]


def test_lane_that_was_deleted_is_not_lent_again(family: Family) -> None:
    os.waitpid(family.fork(lambda: family.emit("before")), 0)
    (lane,) = family.spool.lane_ids()
    assert family.spool.lanes_folder is not None
    shutil.rmtree(family.spool.lanes_folder / lane)
    os.waitpid(family.fork(lambda: family.emit("after")), 0)
    assert list(family.recorded().values()) == [["after"]]


def test_child_goes_on_when_older_segments_were_shipped(family: Family) -> None:
    many = [f"{number:0400d}" for number in range(1_000)]
    os.waitpid(family.fork(lambda: family.emit(*many)), 0)
    (lane,) = family.spool.lane_ids()
    store = family.spool.store_of(lane)
    *shipped, newest = store.firsts()
    for first in shipped:
        store.delete(first)
    os.waitpid(family.fork(lambda: family.emit("next")), 0)
    assert store.firsts() == [newest]
    *_, last = store.open(newest).records()
    assert last[0] == len(many) + 1


def test_fork_of_another_thread_does_not_get_the_lane(family: Family) -> None:
    family.recorder.lend()
    children: list[int] = []
    other = threading.Thread(
        target=lambda: children.append(family.fork(lambda: family.emit("other"), lend=False))
    )
    other.start()
    other.join(10)
    os.waitpid(children[0], 0)
    os.waitpid(family.fork(lambda: family.emit("horse")), 0)
    assert sorted(family.recorded().values()) == [["horse"], ["other"]]


def test_lane_of_a_child_that_lives_is_not_lent_again(family: Family) -> None:
    reading, writing = os.pipe()

    def wait_and_write() -> None:
        os.read(reading, 1)
        family.emit("slow")

    slow = family.fork(wait_and_write)
    os.waitpid(family.fork(lambda: family.emit("quick")), 0)
    os.write(writing, b".")
    os.waitpid(slow, 0)
    os.close(reading)
    os.close(writing)
    assert sorted(family.recorded().values()) == [["quick"], ["slow"]]


def test_grandchild_writes_elsewhere(family: Family) -> None:
    def fork_again() -> None:
        family.emit("child")
        os.waitpid(family.fork(lambda: family.emit("grandchild"), lend=False), 0)
        family.emit("child again")

    os.waitpid(family.fork(fork_again), 0)
    assert sorted(family.recorded().values()) == [["child", "child again"], ["grandchild"]]


def test_parent_writes_into_a_lane_of_its_own(family: Family) -> None:
    family.emit("parent")
    os.waitpid(family.fork(lambda: family.emit("child")), 0)
    family.emit("parent again")
    assert sorted(family.recorded().values()) == [["child"], ["parent", "parent again"]]


def test_lane_is_free_for_others_once_the_parent_has_closed(family: Family, tmp_path: Path) -> None:
    os.waitpid(family.fork(lambda: family.emit("child")), 0)
    family.recorder.close()
    taken = Spool("e" * 32, tmp_path, 64 << 20).take_lane()
    assert [taken.id] == family.spool.lane_ids()
    taken.close()


def test_grandchild_of_a_child_that_has_told_nothing_writes_elsewhere(family: Family) -> None:
    def fork_again() -> None:
        os.waitpid(family.fork(lambda: family.emit("grandchild"), lend=False), 0)
        family.emit("child")

    os.waitpid(family.fork(fork_again), 0)
    assert sorted(family.recorded().values()) == [["child"], ["grandchild"]]


def test_child_for_one_task_drops_what_waits_in_its_parent(family: Family) -> None:
    """The parent's records are the parent's, also those that had found no turn yet."""
    desk = family.recorder._desk
    desk.waiting.append((wire.encode(started("parent")), 0))
    os.waitpid(family.fork(lambda: family.emit("child")), 0)
    family.emit("parent again")
    assert sorted(family.recorded().values()) == [["child"], ["parent", "parent again"]]


def test_child_for_one_task_that_closes_leaves_the_lane_to_the_next(family: Family) -> None:
    os.waitpid(family.fork(family.recorder.close), 0)
    os.waitpid(family.fork(lambda: family.emit("next")), 0)
    assert list(family.recorded().values()) == [["next"]]


def test_child_whose_parent_is_gone_writes_into_a_lane_of_its_own(family: Family) -> None:
    def lend_and_die() -> None:
        parent = os.getpid()

        def outlive() -> None:
            while os.getppid() == parent:
                time.sleep(0.01)
            family.emit("orphan")

        family.fork(outlive)
        os.kill(parent, signal.SIGKILL)

    os.waitpid(family.fork(lend_and_die, lend=False), 0)
    until = time.monotonic() + 10
    while not family.recorded() and time.monotonic() < until:
        time.sleep(0.05)
    assert list(family.recorded().values()) == [["orphan"]]
