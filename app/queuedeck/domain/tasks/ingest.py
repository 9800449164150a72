# SPDX-License-Identifier: AGPL-3.0-only
"""Takes in what agents send: decodes, gathers groups, has them stored, then tells whoever waits.

One group is written at a time; the next gathers meanwhile, so groups grow with the load. Once it is
large enough it stands ready behind the other: the writer need not wait for the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from queuedeck.clock import Clock, now_us
from queuedeck.domain.tasks.decode import batch_of
from queuedeck.domain.tasks.health import StoreHealth
from queuedeck.errors import Conflict, Invalid, QueuedeckError, Unavailable
from queuedeck.history.batches import Batch, Recorded
from queuedeck.history.labels import Labels
from queuedeck.history.store import History
from queuedeck.live import Live
from queuedeck_agent import wire

LINGER_S = 0.010
"""After the first part of a group, so long others may join it."""
MAX_GROUP_EVENTS = 5_000
READY_EVENTS = 2_500
"""A group of so many is handed over while another is written."""
MAX_TASK_TOPICS = 500
"""So many `task:` topics of a project are published for one group; past that, `ANY_TASK` is."""
ANY_TASK = "task:*"

CommandResult = wire.CommandDone | wire.CommandFailed
_RESULTS = (wire.CommandDone, wire.CommandFailed)
ApplyResults = Callable[[int, list[CommandResult]], Awaitable[object]]
"""Takes a project and results in the order they came. Must be idempotent by command id."""

LabelsOf = Callable[[int], Labels | None]
"""The rules of a project as they are now; None: it has none."""

log = logging.getLogger(__name__)


def _no_labels(_project_id: int) -> None:
    """Nothing is labelled."""


class _Waiting(msgspec.Struct):
    batch: Batch
    done: asyncio.Future[Recorded]


class Ingest:
    """The way of all events into the history store. Lives on the event loop."""

    def __init__(
        self,
        history: History,
        live: Live,
        apply_results: ApplyResults,
        clock: Clock = now_us,
        labels_of: LabelsOf = _no_labels,
    ) -> None:
        self.health = StoreHealth(clock)
        self._history = history
        self._live = live
        self._apply_results = apply_results
        self._labels_of = labels_of
        self._waiting: list[_Waiting] = []
        self._waiting_events = 0
        self._arrived = asyncio.Event()
        self._storing: set[asyncio.Task[None]] = set()
        """The group that is written, and one that stands ready."""
        self._moved = asyncio.Event()
        """A part came, or a group was stored."""
        self._stopping = False
        self._collector: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._collector = asyncio.create_task(self._collect(), name="ingest")

    async def stop(self) -> None:
        """Store what has been submitted, then end. Later parts are refused."""
        self._stopping = True
        self._arrived.set()
        if self._collector is not None:
            await self._collector
            self._collector = None

    @property
    def is_behind(self) -> bool:
        """Whether parts wait while a group is written: what is less urgent may wait as well."""
        return bool(self._storing and self._waiting)

    def submit(
        self, project_id: int, agent_id: str, part: wire.LanePart
    ) -> asyncio.Future[Recorded]:
        """Have a part stored. The future ends after the commit, or with the reason why not:
        `Unavailable` (send again), `Invalid` or `Conflict` (never send that again).
        """
        done: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        if self._stopping or self._collector is None:
            done.set_exception(Unavailable("The server is stopping. Send again when it is back."))
            return done
        try:
            batch = batch_of(project_id, agent_id, part, self._labels_of(project_id))
        except Invalid as error:
            done.set_exception(error)
            return done
        self._waiting.append(_Waiting(batch, done))
        self._waiting_events += len(batch.events)
        self._arrived.set()
        self._moved.set()
        return done

    async def add(self, batch: Batch) -> Recorded:
        """Store a batch of the server's own. Raises `Unavailable` when it could not be."""
        recorded = await self._history.record([batch])
        self._announce(recorded)
        return recorded

    async def _collect(self) -> None:
        while True:
            await self._next_parts()
            await self._next_turn()
            group = await self._apply(self._take_group())
            if group:
                self._hand_over(group)
            elif self._stopping and not self._waiting:
                await asyncio.gather(*self._storing)
                return

    async def _next_parts(self) -> None:
        """Wait for a part, and a little for its company; not when a group is written, in whose
        time others gather.
        """
        if not self._arrived.is_set():
            await self._arrived.wait()
            if not self._storing and not self._stopping:
                await asyncio.sleep(LINGER_S)

    async def _next_turn(self) -> None:
        """Wait until nothing is written, or one group is and the next is large."""
        while self._storing and (len(self._storing) > 1 or self._waiting_events < READY_EVENTS):
            self._moved.clear()
            await self._moved.wait()

    def _take_group(self) -> list[_Waiting]:
        events = taken = 0
        for waiting in self._waiting:
            events += len(waiting.batch.events)
            if taken and events > MAX_GROUP_EVENTS:
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._waiting_events -= sum(len(waiting.batch.events) for waiting in group)
        if not self._waiting and not self._stopping:
            self._arrived.clear()
        return group

    def _hand_over(self, group: list[_Waiting]) -> None:
        """The store writes groups in the order in which they are handed over."""
        storing = asyncio.create_task(self._store(group))
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)
        storing.add_done_callback(lambda _: self._moved.set())

    async def _store(self, group: list[_Waiting]) -> None:
        try:
            recorded = await self._history.record([waiting.batch for waiting in group])
        except Unavailable as error:
            self._refuse(group, error)
        except Exception:
            log.exception("A group of %d parts could not be stored; trying each.", len(group))
            await self._store_one_by_one(group)
        else:
            self._finish(group, recorded)

    async def _store_one_by_one(self, group: list[_Waiting]) -> None:
        """One batch that the store cannot take must not hold up those of other agents."""
        for waiting in group:
            try:
                recorded = await self._history.record([waiting.batch])
            except Unavailable as error:
                self._refuse([waiting], error)
            except Exception:
                log.exception("A part of lane %s could not be stored.", waiting.batch.lane)
                _fail([waiting], Unavailable("The server failed to store this; see its log."))
            else:
                self._finish([waiting], recorded)

    async def _apply(self, group: list[_Waiting]) -> list[_Waiting]:
        """Apply the command results of a group before it is stored: once a result is committed
        here, its agent forgets it. Parts whose results could not be applied are left out.
        """
        failed: set[int] = set()
        for project_id, results in _results(group).items():
            try:
                await self._apply_results(project_id, results)
            except Exception as error:
                if not isinstance(error, QueuedeckError):
                    log.exception("Command results could not be applied.")
                failed.add(project_id)
        if not failed:
            return group
        _fail(
            [waiting for waiting in group if waiting.batch.project_id in failed],
            Unavailable("The outcome of a command could not be stored. Send again."),
        )
        return [waiting for waiting in group if waiting.batch.project_id not in failed]

    def _refuse(self, group: list[_Waiting], error: Unavailable) -> None:
        """Nothing of this group is acknowledged: its agents keep it and send it again."""
        self.health.note_refused(error.message)
        _fail(group, error)

    def _finish(self, group: list[_Waiting], recorded: Recorded) -> None:
        self.health.note_stored()
        self._announce(recorded)
        for waiting in group:
            if not waiting.done.done():
                _resolve(waiting, recorded)

    def _announce(self, recorded: Recorded) -> None:
        for project_id, tasks in recorded.tasks.items():
            self._live.publish(project_id, _topics(tasks))


def _resolve(waiting: _Waiting, recorded: Recorded) -> None:
    """Give a part its own share of what the group changed."""
    lane, project_id = waiting.batch.lane, waiting.batch.project_id
    if (project_id, lane) in recorded.refused:
        waiting.done.set_exception(
            Conflict(f"Lane {lane} belongs to another project. Nothing of it was stored.")
        )
        return
    share = Recorded(
        committed={lane: recorded.committed[lane]} if lane in recorded.committed else {},
        expected={lane: recorded.expected[lane]} if lane in recorded.expected else {},
        tasks={project_id: recorded.tasks.get(project_id, set())},
    )
    waiting.done.set_result(share)


def _results(group: Sequence[_Waiting]) -> dict[int, list[CommandResult]]:
    results: dict[int, list[CommandResult]] = {}
    for waiting in group:
        some = [event for event in waiting.batch.events if isinstance(event, _RESULTS)]
        if some:
            results.setdefault(waiting.batch.project_id, []).extend(some)
    return results


def _topics(tasks: set[tuple[str, str]]) -> set[str]:
    topics = {"tasks"}
    if len(tasks) > MAX_TASK_TOPICS:
        topics.add(ANY_TASK)
    else:
        topics.update(f"task:{engine}:{task_id}" for engine, task_id in tasks)
    return topics


def _fail(group: list[_Waiting], error: QueuedeckError) -> None:
    for waiting in group:
        if not waiting.done.done():
            waiting.done.set_exception(error)
