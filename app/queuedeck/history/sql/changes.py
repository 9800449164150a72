# SPDX-License-Identifier: AGPL-3.0-only
"""Collects the rows of a group and writes them, one statement for each kind of change and day.

A column in SET makes SQLite rewrite its index entries even when the value stays: hence three
updates, of which the commonest touches no index at all or only the small partial one.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from queuedeck.clock import MINUTE_US
from queuedeck.history.derive import Derived, derive
from queuedeck.history.facts import AnyFact
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import WINDOW_DAYS, split
from queuedeck.history.sql.ledger import Ledger
from queuedeck.history.sql.names import STATE_NUMBERS, Source
from queuedeck.history.sql.packed import pack_parts, payload_id, payload_table, unpack_parts
from queuedeck.history.sql.packed_facts import pack_fact, pack_facts
from queuedeck.history.sql.tasks import FLAG_CANCEL, FLAG_CONFLICT, FLAGS_KEPT, NEW, Task
from queuedeck.history.states import is_known
from queuedeck.history.tasks import FINAL_STATES, TaskState
from queuedeck_agent import wire

HEAD_BYTES = 180
"""What a task takes beside its payloads, in the estimate of a project's size."""

_PLAIN = (
    "flags = ?, queue = ?, worker = ?, attempt = ?, exception = ?, seen_us = ?, running_us = ?,"
    " wait_us = ?, run_us = ?, facts = ?"
)
_UPDATE = f"UPDATE task_{{day}} SET {_PLAIN} WHERE n = ?"  # noqa: S608
_UPDATE_STATE = f"UPDATE task_{{day}} SET {_PLAIN}, state = ? WHERE n = ?"  # noqa: S608
_UPDATE_ALL = f"UPDATE task_{{day}} SET {_PLAIN}, state = ?, name = ? WHERE n = ?"  # noqa: S608
_INSERT = (
    "INSERT INTO task_{day} (flags, queue, worker, attempt, exception, seen_us, running_us,"
    " wait_us, run_us, facts, state, name, n, key, ext, project, source, generation, label)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FAILURE = "UPDATE task_{day} SET failure = ? WHERE n = ?"
_LABEL = "UPDATE task_{day} SET label = ? WHERE n = ?"
_MARK = "UPDATE task_{day} SET mark = ? WHERE n = ?"
_SUPERSEDE = "UPDATE task_{day} SET key = ? WHERE n = ?"
_SPARE = "INSERT INTO spare_{day} (n, fact) VALUES (?, ?) ON CONFLICT DO NOTHING"
_MINUTE = (
    "INSERT INTO minute_{day} (minute, low, high) VALUES (?, ?, ?) ON CONFLICT (minute)"
    " DO UPDATE SET low = min(minute_{day}.low, excluded.low),"
    " high = max(minute_{day}.high, excluded.high)"
)
_DAILY = (_INSERT, _UPDATE, _UPDATE_STATE, _UPDATE_ALL, _FAILURE, _LABEL, _MARK, _SUPERSEDE, _SPARE)

_Row = tuple[object, ...]


class Changes:
    """The rows that one group will write."""

    def __init__(self, db: Database, first_day: int, ledger: Ledger) -> None:
        self._db = db
        self._ledger = ledger
        self._first_day = first_day
        """New tasks are filed under this day and later ones."""
        self._rows: dict[str, dict[int, list[_Row]]] = {sql: defaultdict(list) for sql in _DAILY}
        self._parts: dict[tuple[str, int], dict[int, bytes]] = defaultdict(dict)
        self._minutes: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
        self._usage: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        self._retries: dict[tuple[int, str, str], tuple[str, int]] = {}
        self._ended: list[_Row] = []
        self._open: list[_Row] = []
        self._states: dict[tuple[int, int, int], int] = {}

    def add_parts(self, task: Task, fact: AnyFact, parts: tuple[bytes, bytes]) -> None:
        """What a fact carries apart."""
        day, n = split(task.id)
        data = pack_parts(parts)
        self._parts[payload_table(fact), day][payload_id(n, fact)] = data
        self._usage[day, task.identity[0]][1] += len(data)

    def add_spare(self, task: Task, left_over: list[AnyFact]) -> None:
        """Facts that only the timeline shows; what is known already is not shown twice."""
        day, n = split(task.id)
        self._rows[_SPARE][day] += [
            (n, pack_fact(fact)) for fact in left_over if not is_known(task.facts, fact)
        ]

    def add_bytes(self, day: int, project: int, size: int) -> None:
        """So much more is kept for the tasks of a project."""
        self._usage[day, project][1] += size

    def add_retry(self, project: int, source: Source, event: wire.TaskPublished) -> None:
        """Links both tasks of a retry, whichever of them is stored first."""
        if event.retry_of:
            key = (project, source.fingerprint, event.task_id)
            old, at_us = self._retries.get(key, (event.retry_of, event.at_us))
            self._retries[key] = (min(old, event.retry_of), min(at_us, event.at_us))

    def add_superseded(self, rows: list[tuple[int, int]]) -> None:
        """(new key, id) of tasks that are only found by readers from now on."""
        for key, number in rows:
            day, n = split(number)
            self._rows[_SUPERSEDE][day].append((key, n))

    def write(self) -> None:
        self._write_days()
        self._ledger.write()
        self._write_rows("DELETE FROM cancel_request WHERE task = ?", self._ended)
        self._write_rows(
            "INSERT INTO open_task (id, key, until_day) VALUES (?, ?, ?) ON CONFLICT (id)"
            " DO UPDATE SET key = excluded.key, until_day = excluded.until_day",
            self._open,
        )
        self._write_rows(
            "INSERT INTO retry (project, source, new, old, at_us) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (project, source, new) DO UPDATE SET"
            " old = min(retry.old, excluded.old), at_us = min(retry.at_us, excluded.at_us)",
            [(*key, *row) for key, row in self._retries.items()],
        )
        self._write_rows(
            "INSERT INTO state_count (project, source, state, n) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (project, source, state) DO UPDATE SET n = state_count.n + excluded.n",
            [(*key, n) for key, n in self._states.items() if n],
        )
        self._write_rows(
            "INSERT INTO usage (day, project, tasks, bytes) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (day, project) DO UPDATE SET tasks = usage.tasks + excluded.tasks,"
            " bytes = usage.bytes + excluded.bytes",
            [(*key, *added) for key, added in self._usage.items()],
        )

    def _write_days(self) -> None:
        for sql, days in self._rows.items():
            for day, rows in days.items():
                self._write_rows(sql.format(day=day), rows)
        for (table, day), parts in self._parts.items():
            self._write_rows(
                f"INSERT INTO {table}_{day} (id, data) VALUES (?, ?)"  # noqa: S608
                " ON CONFLICT (id) DO UPDATE SET data = excluded.data",
                list(parts.items()),
            )
        for day, minutes in self._minutes.items():
            rows = [(minute, low, high) for minute, (low, high) in minutes.items()]
            self._write_rows(_MINUTE.format(day=day), rows)

    def _write_rows(self, sql: str, rows: Sequence[_Row]) -> None:
        if rows:
            self._db.executemany(sql, rows)

    def add_task(self, task: Task) -> None:
        """A task that the group changed."""
        day, n = split(task.id)
        seen = derive(task.facts)
        state = STATE_NUMBERS[seen.state]
        flags = task.flags & FLAGS_KEPT | (FLAG_CONFLICT if seen.conflicting else 0)
        row = (flags, *_columns(seen), pack_facts(task.facts))
        project, source, ext = task.identity
        if task.state == NEW:
            rest = (
                state,
                seen.name,
                n,
                task.key,
                ext,
                project,
                source,
                task.generation,
                task.label,
            )
            self._rows[_INSERT][day].append((*row, *rest))
            used = self._usage[day, project]
            used[0] += 1
            used[1] += HEAD_BYTES
        elif seen.name != task.name:
            self._rows[_UPDATE_ALL][day].append((*row, state, seen.name, n))
        elif state != task.state:
            self._rows[_UPDATE_STATE][day].append((*row, state, n))
        else:
            self._rows[_UPDATE][day].append((*row, n))
        failure = self._ledger.count(task, seen, partial(self._traceback, day, n))
        if failure is not None:
            self._rows[_FAILURE][day].append((failure, n))
        if task.relabelled or task.mark or task.remarked:
            self._add_label(task, seen.state)
        if seen.seen_us != task.seen_us:
            self._note_minute(day, n, seen.seen_us)
        if day < self._first_day:
            self._keep_open(task, seen.state)
        if task.flags & FLAG_CANCEL and seen.state in FINAL_STATES:
            self._ended.append((task.id,))
        if state != task.state:
            self._count_state(project, source, task.state, state)
        task.state, task.name, task.seen_us, task.flags = state, seen.name, seen.seen_us, flags

    def _add_label(self, task: Task, state: TaskState) -> None:
        """A new row has its label already."""
        day, n = split(task.id)
        if task.relabelled and task.state != NEW:
            self._rows[_LABEL][day].append((task.label, n))
        if task.mark and state is not TaskState.SUCCEEDED:
            task.mark, task.remarked = 0, True  # A later attempt has another say.
        if task.remarked:
            self._rows[_MARK][day].append((task.mark, n))
        task.relabelled = task.remarked = False

    def _traceback(self, day: int, n: int, fact: AnyFact) -> str:
        """The traceback of a fact that came with this group."""
        data = self._parts[payload_table(fact), day].get(payload_id(n, fact))
        return unpack_parts(data)[1].decode(errors="replace") if data else ""

    def _note_minute(self, day: int, n: int, seen_us: int) -> None:
        minutes = self._minutes[day]
        minute = seen_us // MINUTE_US
        low, high = minutes.get(minute, (n, n))
        minutes[minute] = (min(low, n), max(high, n))

    def _keep_open(self, task: Task, state: TaskState) -> None:
        """A task of an older day can still be found while it is open, and some days after."""
        until = self._first_day + 2 * WINDOW_DAYS if state in FINAL_STATES else None
        self._open.append((task.id, task.key, until))

    def _count_state(self, project: int, source: int, before: int, after: int) -> None:
        self._count((project, source, after), 1)
        if before != NEW:
            self._count((project, source, before), -1)

    def _count(self, key: tuple[int, int, int], step: int) -> None:
        self._states[key] = self._states.get(key, 0) + step


def _columns(seen: Derived) -> _Row:
    return (
        seen.queue,
        seen.worker,
        seen.attempt,
        seen.exception,
        seen.seen_us,
        seen.started_us if seen.state is TaskState.RUNNING else None,
        seen.wait_us,
        seen.run_us,
    )
