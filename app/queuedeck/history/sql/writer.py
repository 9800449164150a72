# SPDX-License-Identifier: AGPL-3.0-only
"""Writes one group of batches in one transaction, and the few other changes. Runs on the
writer's thread only.

The write path is three files: here a group becomes facts, `tasks.py` finds the task of each fact,
`changes.py` turns the changed tasks into rows.
"""

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from queuedeck.clock import DAY_US, MINUTE_US, Clock
from queuedeck.errors import NotFound
from queuedeck.history.batches import Batch, Recorded
from queuedeck.history.facts import Intern, fact_of, parts_of
from queuedeck.history.retention import Kept
from queuedeck.history.sql.changes import Changes
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import WINDOW_DAYS, Days, has_day, split
from queuedeck.history.sql.extras import KINDS as EXTRAS
from queuedeck.history.sql.extras import ExtraChanges
from queuedeck.history.sql.fulltext import Portion, write_portion
from queuedeck.history.sql.labelling import Labelling
from queuedeck.history.sql.lanes import Lanes
from queuedeck.history.sql.ledger import Ledger
from queuedeck.history.sql.names import STATES, Memory, Source
from queuedeck.history.sql.tasks import FLAG_CANCEL, Identity, Recent, Tasks, identify
from queuedeck.history.sql.thinning import Thinning
from queuedeck.history.sql.upkeep import CarryOver, DropDays
from queuedeck.history.states import merge
from queuedeck.history.tasks import FINAL_STATES
from queuedeck_agent import wire

AHEAD_US = 60 * MINUTE_US
"""A clock further ahead than this does not decide where a task is filed; nor does one that is
behind by more than the days in which tasks are looked for."""


class Writer:
    """Owns the writing connection and what it remembers between groups."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.db = db
        self._clock = clock
        self._memory = Memory(db)
        self._days = Days(db)
        self._recent = Recent()
        self._carry = CarryOver(db, self._days)
        self._drop = DropDays(db)
        self._thinning = Thinning(db)
        self._idle = False
        self._ledger = Ledger(db, clock)
        self._extra_days: set[int] = set()

    def record(self, group: Sequence[Batch]) -> Recorded:
        """All of the group or, when this raises, nothing of it."""
        self._idle = False
        with self._transaction():
            now_us = self._clock()
            tasks = Tasks(self.db, self._days, self._recent)
            extras = ExtraChanges(self.db, self._extra_days)
            return _Group(
                self.db, self._memory, tasks, self._ledger, extras, group, now_us
            ).record()

    def request_cancel(self, project_id: int, key: int) -> None:
        with self._transaction():
            self._recent.forget()
            self._request_cancel(project_id, key)

    def request_cancels(self, project_id: int, keys: Sequence[int]) -> None:
        with self._transaction():
            self._recent.forget()
            for key in keys:
                with suppress(NotFound):
                    self._request_cancel(project_id, key)

    def tidy(self, keep_days: int, max_bytes: int) -> bool:
        """One step of the work on older days. Says whether there was something to do."""
        with self._transaction():
            today = self._clock() // DAY_US
            first_kept = today - max(keep_days, WINDOW_DAYS) + 1
            if self._carry.step(today):
                return True
            if self._drop.step(first_kept, max_bytes):
                self._recent.forget()
                return True
        return False

    def give_back(self) -> bool:
        """Give back a piece of the space of days that are gone. Says whether there was any."""
        return self.db.dialect.give_back(self.db)

    def thin(self, kept: Kept) -> bool:
        """One step of taking away what a project keeps no longer. Says whether there was any."""
        with self._transaction():
            self._recent.forget()
            return self._thinning.step(kept, self._clock() // DAY_US)

    def rest(self) -> None:
        """Tell that there is time: empties the log, if no group came since the last time."""
        if self._idle:
            self.db.dialect.rest(self.db)
        self._idle = True

    def sum_up(self) -> bool:
        """One step of making coarse rollups of fine ones. Says whether there may be more to do."""
        with self._transaction():
            return self._ledger.sum_up()

    def prune_counts(self, kept_days: Mapping[int, int]) -> bool:
        """Delete a slice of the rollups that are no longer kept. Says whether there was any."""
        with self._transaction():
            return self._ledger.prune(kept_days)

    def add_words(self, portion: Portion) -> None:
        """The next tasks in the index of words, unless their day is gone."""
        with self._transaction():
            if has_day(self.db, portion.day):
                write_portion(self.db, portion)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """All of it or nothing: what is remembered is forgotten with what was not written."""
        self.db.execute(self.db.dialect.BEGIN)
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            self._memory.forget()
            self._days.forget()
            self._recent.forget()
            self._ledger.forget()
            self._thinning.forget()
            self._extra_days.clear()
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def _request_cancel(self, project_id: int, key: int) -> None:
        day, n = split(key)
        if not has_day(self.db, day):
            raise NotFound
        row = self.db.execute(
            f"UPDATE task_{day} SET flags = flags | ? WHERE n = ? AND project = ? RETURNING state",  # noqa: S608
            (FLAG_CANCEL, n, project_id),
        ).fetchone()
        if row is None:
            raise NotFound
        if STATES[row[0]] not in FINAL_STATES:
            self.db.execute(
                "INSERT INTO cancel_request (task, project) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (key, project_id),
            )

    def close(self) -> None:
        self.db.close()


_Seen = tuple[wire.TaskEvent, Source, Identity, int]
"""A new fact on its way into the tables, and the search key of its identity."""


class _Group:
    """One group while it is written."""

    def __init__(
        self,
        db: Database,
        memory: Memory,
        tasks: Tasks,
        ledger: Ledger,
        extras: ExtraChanges,
        group: Sequence[Batch],
        now_us: int,
    ) -> None:
        self._memory = memory
        self._group = group
        self._latest_us = now_us + AHEAD_US
        self._first_day = now_us // DAY_US - WINDOW_DAYS + 1
        self._lanes = Lanes(db, group, now_us)
        self._tasks = tasks
        self._changes = Changes(db, self._first_day, ledger)
        self._extras = extras
        self._interns: dict[int, Intern] = {}
        rules = {batch.project_id: batch.labels for batch in group if batch.labels is not None}
        self._labelling = Labelling(rules) if rules else None

    def record(self) -> Recorded:
        seen = self._read_events()
        self._tasks.load({identity: key for _, _, identity, key in seen})
        told: list[_Seen] = []
        for one in seen:
            if type(one[0]) in EXTRAS:
                told.append(one)
            else:
                self._add(*one)
        for event, _, identity, _ in told:
            # Of a task of which nothing else has come there is nothing to tell.
            if task := self._tasks.find(identity):
                self._extras.add(task, event)
        for task in self._tasks.changed():
            self._changes.add_task(task)
        self._changes.add_superseded(self._tasks.superseded)
        self._extras.write(self._changes.add_bytes)
        self._changes.write()
        self._lanes.write()
        self._tasks.remember()
        return Recorded(
            self._lanes.committed, self._lanes.expected, _changed(seen), self._lanes.refused
        )

    def _read_events(self) -> list[_Seen]:
        """The new events about tasks; sources are named on the way."""
        seen: list[_Seen] = []
        for batch in self._group:
            project = batch.project_id
            newest_us = -1
            for event in self._lanes.new_events(batch):
                if isinstance(event, wire.SourceSeen):
                    self._memory.name_source(project, event)
                    continue
                source = self._memory.source(project, event.source)
                seen.append(
                    (event, source, *identify(self._memory, project, source, event.task_id))
                )
                if event.at_us > newest_us:
                    newest_us = event.at_us
            if newest_us >= 0:
                self._lanes.note_time(project, min(newest_us, self._latest_us))
        return seen

    def _add(self, event: wire.TaskEvent, source: Source, identity: Identity, key: int) -> None:
        project = identity[0]
        fact = fact_of(event, self._intern(project))
        day = max(min(event.at_us, self._latest_us) // DAY_US, self._first_day)
        task = self._tasks.find_or_open(identity, key, fact, day)
        left_over = merge(task.facts, fact)
        if left_over:
            self._changes.add_spare(task, left_over)
        if fact not in left_over:
            task.changed = True
            if self._labelling is not None:
                self._labelling.apply(task, event, self._intern(project))
            if fact.held:
                self._changes.add_parts(task, fact, parts_of(event))
        elif isinstance(event, wire.TaskStarted):
            task.changed = True  # The first start remembers that there was another.
        if isinstance(event, wire.TaskPublished):
            self._changes.add_retry(project, source, event)

    def _intern(self, project: int) -> Intern:
        known = self._interns.get(project)
        if known is None:
            known = self._interns[project] = partial(self._memory.word, project)
        return known


def _changed(seen: Sequence[_Seen]) -> dict[int, set[tuple[str, str]]]:
    changed: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for event, source, identity, _ in seen:
        changed[identity[0]].add((source.engine, event.task_id))
    return changed
