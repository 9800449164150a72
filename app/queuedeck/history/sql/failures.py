# SPDX-License-Identifier: AGPL-3.0-only
"""Failure groups: which failed attempts are the same failure, and how often it happened. Written
in the transaction of the events. Runs on the writer's thread only.

A row of `failure_attempt` for each failed attempt that is counted says where it was counted, so a
repeated report adds nothing and a conflicting one takes back what the first had added.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping

import msgspec

from queuedeck.clock import MINUTE_US
from queuedeck.history.derive import Derived, derive
from queuedeck.history.facts import AnyFact, Failed, Kind, Retrying, Started
from queuedeck.history.fingerprint import Fingerprint, fingerprint
from queuedeck.history.rollups import KEPT_DAYS
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import DAY_SHIFT
from queuedeck.history.states import (
    FIRST,
    KIND_BITS,
    Facts,
    ending_of,
    get_fact,
    is_known,
    key_of,
)
from queuedeck.history.tasks import TaskState

MAX_GROUPS = 2_000
"""So many failure groups of a project are told apart; what is new beyond these is one group."""
_REST = Fingerprint(0, "Failures of further kinds", "")
_MOST_KNOWN = 20_000
_HOUR_US = 60 * MINUTE_US
_SECOND = FIRST + 1 << KIND_BITS
_FAILS = frozenset((key_of(FIRST, Kind.FAILED), key_of(FIRST, Kind.RETRYING)))

TABLES = """
CREATE TABLE failure_group (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, fingerprint INTEGER NOT NULL,
  exception TEXT NOT NULL, message TEXT NOT NULL, culprit TEXT NOT NULL,
  first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, n INTEGER NOT NULL,
  tasks INTEGER NOT NULL, recovered INTEGER NOT NULL,
  UNIQUE (project, fingerprint)) STRICT;

-- Names of tasks, queues and releases it happened in.
CREATE TABLE failure_share (
  failure INTEGER NOT NULL, word INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (failure, word)) STRICT, WITHOUT ROWID;

CREATE TABLE failure_hour (
  failure INTEGER NOT NULL, hour INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (failure, hour)) STRICT, WITHOUT ROWID;

CREATE TABLE failure_attempt (
  task INTEGER NOT NULL, attempt INTEGER NOT NULL, failure INTEGER NOT NULL,
  PRIMARY KEY (task, attempt)) STRICT, WITHOUT ROWID;
CREATE INDEX failure_attempt_failure ON failure_attempt (failure, task);
"""

_UPDATE = (
    "UPDATE failure_group SET n = n + ?, tasks = tasks + ?, recovered = recovered + ?,"
    " first_us = min(first_us, ?), last_us = max(last_us, ?) WHERE id = ?"
)


class Change(msgspec.Struct, frozen=True):
    """A task that a group of events changed, before and after."""

    project: int
    id: int
    before: Facts
    after: Facts
    seen: Derived
    """Derived of `after`."""


class _Delta(msgspec.Struct):
    """What is added to one failure group."""

    n: int = 0
    tasks: int = 0
    recovered: int = 0
    first_us: int = 1 << 62
    last_us: int = 0


TracebackOf = Callable[[AnyFact], str]
"""The traceback that came with a fact of this group of events."""


class Failures:
    """Groups the failed attempts of a group of events; `write` then adds them to the tables."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._words: dict[int, str] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._sizes: dict[int, int] = {}
        self._start()

    def _start(self) -> None:
        self._deltas: dict[int, _Delta] = defaultdict(_Delta)
        self._hours: dict[tuple[int, int], int] = defaultdict(int)
        self._shares: dict[tuple[int, int], int] = defaultdict(int)
        self._added: list[tuple[int, int, int]] = []
        self._removed: list[tuple[int, int]] = []

    def forget(self) -> None:
        """After a rollback: groups and words that were made are not there."""
        self._words.clear()
        self._known.clear()
        self._sizes.clear()
        self._start()

    def count(self, change: Change, traceback_of: TracebackOf) -> int | None:
        """The group of the task's newest failed attempt; 0 when no attempt counts as failed any
        more, None when none ever did.
        """
        after = change.after
        if never_failed(after):
            return None
        failed_before = bool(change.before) and not never_failed(change.before)
        stored = self._stored(change.id) if failed_before else {}
        found = dict(stored)
        for attempt in sorted({key >> KIND_BITS for key in after}):
            self._count_attempt(change, attempt, stored, found, traceback_of)
        self._count_task(change, set(stored.values()), set(found.values()))
        if not found and not stored:
            return None
        return found[max(found)] if found else 0

    def _stored(self, task: int) -> dict[int, int]:
        return dict(
            self._db.execute(
                "SELECT attempt, failure FROM failure_attempt WHERE task = ?", (task,)
            ).fetchall()
        )

    def _count_attempt(
        self,
        change: Change,
        attempt: int,
        stored: dict[int, int],
        found: dict[int, int],
        traceback_of: TracebackOf,
    ) -> None:
        old, new = ending_of(change.before, attempt), ending_of(change.after, attempt)
        group = stored.get(attempt)
        if group is not None and old is not None:
            if old == new:
                self._move_shares(change, attempt, group)
                return
            self._add(group, old, _words(change.before, derive(change.before), attempt), -1)
            self._removed.append((change.id, attempt))
            del found[attempt]
        if isinstance(new, Failed | Retrying) and old != new and is_known(change.after, new):
            group = self._group_of(change.project, new, traceback_of(new))
            self._add(group, new, _words(change.after, change.seen, attempt), 1)
            self._added.append((change.id, attempt, group))
            found[attempt] = group

    def _move_shares(self, change: Change, attempt: int, group: int) -> None:
        """A later report told the task's name, queue or release, or another one."""
        old = _words(change.before, derive(change.before), attempt)
        new = _words(change.after, change.seen, attempt)
        for word in old - new:
            self._shares[group, word] -= 1
        for word in new - old:
            self._shares[group, word] += 1

    def _add(self, group: int, ending: AnyFact, words: set[int], step: int) -> None:
        delta = self._deltas[group]
        delta.n += step
        if step > 0:
            delta.first_us = min(delta.first_us, ending.at_us)
            delta.last_us = max(delta.last_us, ending.at_us)
        self._hours[group, ending.at_us // _HOUR_US] += step
        for word in words:
            self._shares[group, word] += step

    def _count_task(self, change: Change, before: set[int], after: set[int]) -> None:
        """Tasks that had the failure, and those of them that succeeded in the end."""
        was = bool(before) and derive(change.before).state is TaskState.SUCCEEDED
        now = change.seen.state is TaskState.SUCCEEDED
        for group in before | after:
            had, has = group in before, group in after
            step, recovered = has - had, (has and now) - (had and was)
            if step or recovered:
                self._deltas[group].tasks += step
                self._deltas[group].recovered += recovered

    def _group_of(self, project: int, fact: Failed | Retrying, traceback: str) -> int:
        exception = self._word(fact.exception)
        if not exception and isinstance(fact, Failed):
            exception = self._word(fact.reason)
        found = fingerprint(exception, fact.message, traceback)
        known = self._known.get((project, found.number))
        if known is None:
            known = self._find_or_add(project, exception, found)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[project, found.number] = known
        return known

    def _word(self, word: int) -> str:
        if not word:
            return ""
        known = self._words.get(word)
        if known is None:
            row = self._db.execute("SELECT value FROM word WHERE id = ?", (word,)).fetchone()
            if len(self._words) >= _MOST_KNOWN:
                self._words.clear()
            known = self._words[word] = row[0]
        return known

    def _find_or_add(self, project: int, exception: str, found: Fingerprint) -> int:
        row = self._db.execute(
            "SELECT id FROM failure_group WHERE project = ? AND fingerprint = ?",
            (project, found.number),
        ).fetchone()
        if row is not None:
            return row[0]
        if found.number and self._size(project) >= MAX_GROUPS:
            return self._find_or_add(project, "", _REST)
        self._sizes[project] = self._size(project) + 1
        return self._db.execute(
            "INSERT INTO failure_group (project, fingerprint, exception, message, culprit,"
            " first_us, last_us, n, tasks, recovered)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0) RETURNING id",
            (project, found.number, exception, found.message, found.culprit, 1 << 62),
        ).fetchone()[0]

    def _size(self, project: int) -> int:
        known = self._sizes.get(project)
        if known is None:
            known = self._db.execute(
                "SELECT count(*) FROM failure_group WHERE project = ?", (project,)
            ).fetchone()[0]
        return known

    def write(self, latest_us: int) -> None:
        """Add what was counted. A clock further ahead than `latest_us` does not date a group."""
        many = self._db.executemany
        many(
            _UPDATE,
            [
                (d.n, d.tasks, d.recovered, d.first_us, min(d.last_us, latest_us), group)
                for group, d in self._deltas.items()
            ],
        )
        many("DELETE FROM failure_attempt WHERE task = ? AND attempt = ?", self._removed)
        many("INSERT INTO failure_attempt (task, attempt, failure) VALUES (?, ?, ?)", self._added)
        for table, column, counted in (
            ("failure_hour", "hour", self._hours),
            ("failure_share", "word", self._shares),
        ):
            many(
                f"INSERT INTO {table} (failure, {column}, n) VALUES (?, ?, ?)"  # noqa: S608
                f" ON CONFLICT (failure, {column}) DO UPDATE SET n = {table}.n + excluded.n",
                [(*key, n) for key, n in counted.items() if n],
            )
        self._start()


def never_failed(facts: Facts) -> bool:
    """Seen from afar: true for most tasks, and then no attempt failed."""
    return max(facts) < _SECOND and _FAILS.isdisjoint(facts)


def _words(facts: Facts, seen: Derived, attempt: int) -> set[int]:
    """What a failed attempt counts for beside its group: name, queue and release."""
    started = get_fact(facts, attempt, Started)
    return {seen.name, seen.queue, started.release if started else 0} - {0}


def prune(db: Database, now_us: int, limit: int, kept_days: Mapping[int, int]) -> int:
    """Delete up to `limit` rows about days that are no longer kept, by anybody or, as `kept_days`
    says, by a project. How many that were. The groups and their counts stay.
    """
    today = now_us // _HOUR_US // 24
    gone = db.execute(
        "DELETE FROM failure_attempt WHERE (task, attempt) IN (SELECT task, attempt FROM"
        " failure_attempt WHERE task < (SELECT min(day) FROM day) << ? LIMIT ?)",
        (DAY_SHIFT, limit),
    ).rowcount
    gone += db.execute(
        "DELETE FROM failure_hour WHERE (failure, hour) IN (SELECT failure, hour FROM failure_hour"
        " WHERE hour < ? LIMIT ?)",
        ((today - KEPT_DAYS) * 24, limit - gone),
    ).rowcount
    for project, days in kept_days.items():
        gone += db.execute(
            "DELETE FROM failure_hour WHERE (failure, hour) IN (SELECT h.failure, h.hour FROM"
            " failure_group AS g CROSS JOIN failure_hour AS h ON h.failure = g.id AND h.hour < ?"
            " WHERE g.project = ? LIMIT ?)",
            ((today - days) * 24, project, limit - gone),
        ).rowcount
    return gone
