# SPDX-License-Identifier: AGPL-3.0-only
"""What running tasks say beside their states: progress, tags, log lines, traces. They are in tables
of their own for each day, made when the first task of the day says something: a task that says
nothing costs nothing, neither here nor in a list. No state depends on them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import split
from queuedeck.history.sql.tasks import (
    FLAG_LOGS,
    FLAG_PROGRESS,
    FLAG_TAGS,
    FLAG_TRACE,
    Task,
)
from queuedeck_agent import wire

KINDS = frozenset({wire.TaskProgressed, wire.TaskTagged, wire.TaskLogged, wire.TaskTraced})
"""Events that are extras."""

MOST_TAGS = 20
"""Of one task; further ones are dropped."""
MAX_TAG_CHARS = 64
MAX_MESSAGE_CHARS = 300
MAX_LOG_BYTES = 256 * 1024
"""Of one task, over all attempts; what comes then is only counted. Agents stop much earlier."""
ROW_BYTES = 40
"""What a row takes beside its data, in the estimate of a project's size."""

_FLAGS: dict[type[wire.TaskEvent], int] = {
    wire.TaskProgressed: FLAG_PROGRESS,
    wire.TaskTagged: FLAG_TAGS,
    wire.TaskLogged: FLAG_LOGS,
    wire.TaskTraced: FLAG_TRACE,
}

_PROGRESS = (
    "INSERT INTO progress_{day} (n, attempt, at_us, data) VALUES (?, ?, ?, ?) ON CONFLICT (n)"
    " DO UPDATE SET attempt = excluded.attempt, at_us = excluded.at_us, data = excluded.data"
    " WHERE (excluded.attempt, excluded.at_us, excluded.data)"
    " > (progress_{day}.attempt, progress_{day}.at_us, progress_{day}.data)"
)
"""The newest stays, in whatever order they come."""
_TAG = "INSERT INTO tag_{day} (project, value, n) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_TRACE = (
    "INSERT INTO trace_{day} (project, value, n, attempt, span) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_LOG = "INSERT INTO log_{day} (n, attempt, at_us, first, left_out, data) VALUES (?, ?, ?, ?, ?, ?)"
_LOG_USE = (
    "INSERT INTO log_use_{day} (n, bytes, left_out) VALUES (?, ?, ?) ON CONFLICT (n) DO UPDATE SET"
    " bytes = log_use_{day}.bytes + excluded.bytes,"
    " left_out = log_use_{day}.left_out + excluded.left_out"
)

encode = msgspec.msgpack.Encoder().encode

_Row = tuple[object, ...]
AddBytes = Callable[[int, int, int], None]
"""Takes day, project and how many bytes more its tasks take."""


class ExtraChanges:
    """The extras of one group. `made`: days whose tables are known to be there."""

    def __init__(self, db: Database, made: set[int]) -> None:
        self._db = db
        self._made = made
        self._firsts: Counter[tuple[int, int]] = Counter()
        self._progress: dict[int, dict[int, tuple[int, int, bytes]]] = defaultdict(dict)
        self._tags: dict[int, dict[tuple[int, int], dict[str, None]]] = defaultdict(dict)
        self._traces: dict[int, list[_Row]] = defaultdict(list)
        self._logs: dict[int, dict[tuple[int, int], list[wire.TaskLogged]]] = defaultdict(dict)

    def add(self, task: Task, event: wire.TaskEvent) -> None:
        """One extra of a task that is known."""
        flag = _FLAGS[type(event)]
        day, n = split(task.id)
        project = task.identity[0]
        if not task.flags & flag:
            task.flags |= flag
            task.changed = True
            self._firsts[day, project] += ROW_BYTES
        match event:
            case wire.TaskProgressed():
                self._add_progress(day, n, event)
            case wire.TaskTagged():
                tags = self._tags[day].setdefault((project, n), {})
                tags.update(dict.fromkeys(filter(_is_tag, event.tags)))
            case wire.TaskTraced():
                trace, span = event.trace_id[:MAX_TAG_CHARS], event.span_id[:MAX_TAG_CHARS]
                self._traces[day].append((project, trace, n, event.attempt, span))
            case wire.TaskLogged():
                self._logs[day].setdefault((project, n), []).append(event)
            case _:
                pass

    def write(self, add_bytes: AddBytes) -> None:
        for day in {*self._progress, *self._tags, *self._traces, *self._logs} - self._made:
            for statement in self._db.dialect.extra_tables(day):
                self._db.execute(statement)
            self._made.add(day)
        for (day, project), size in self._firsts.items():
            add_bytes(day, project, size)
        for day, found in self._progress.items():
            self._write(_PROGRESS, day, [(n, *row) for n, row in found.items()])
        for day, rows in self._traces.items():
            self._write(_TRACE, day, list({row[2:4]: row for row in rows}.values()))
        for day, tagged in self._tags.items():
            self._write_tags(day, tagged, add_bytes)
        for day, logged in self._logs.items():
            self._write_logs(day, logged, add_bytes)

    def _add_progress(self, day: int, n: int, event: wire.TaskProgressed) -> None:
        message = event.message[:MAX_MESSAGE_CHARS]
        row = (event.attempt, event.at_us, encode((event.current, event.total, message)))
        known = self._progress[day].get(n)
        if known is None or row > known:
            self._progress[day][n] = row

    def _write_tags(
        self, day: int, tagged: dict[tuple[int, int], dict[str, None]], add_bytes: AddBytes
    ) -> None:
        known: dict[int, set[str]] = defaultdict(set)
        for n, value in self._select(f"SELECT x.n, x.value FROM {{}} tag_{day}", tagged):  # noqa: S608
            known[n].add(value)
        rows: list[_Row] = []
        for (project, n), tags in tagged.items():
            new = [tag for tag in tags if tag not in known[n]][: MOST_TAGS - len(known[n])]
            rows += [(project, tag, n) for tag in new]
            if new:
                add_bytes(day, project, sum(ROW_BYTES + len(tag) for tag in new))
        self._write(_TAG, day, rows)

    def _write_logs(
        self, day: int, logged: dict[tuple[int, int], list[wire.TaskLogged]], add_bytes: AddBytes
    ) -> None:
        used: dict[int, int] = dict(
            self._select(f"SELECT x.n, x.bytes FROM {{}} log_use_{day}", logged)  # noqa: S608
        )
        rows: list[_Row] = []
        uses: list[_Row] = []
        for (project, n), events in logged.items():
            size, left_out = 0, 0
            for event in events:
                data = encode(event.lines) if event.lines else b""
                if used.get(n, 0) + size + len(data) > MAX_LOG_BYTES:
                    left_out += len(event.lines) + event.left_out
                    continue
                size += ROW_BYTES + len(data)
                rows.append((n, event.attempt, event.at_us, event.first, event.left_out, data))
            uses.append((n, size, left_out))
            add_bytes(day, project, size)
        self._write(_LOG, day, rows)
        self._write(_LOG_USE, day, uses)

    def _select(self, sql: str, tasks: Iterable[tuple[int, int]]) -> Iterable[tuple[int, Any]]:
        """What is stored already, of all tasks at once."""
        numbers = self._db.dialect.NUMBERS
        return self._db.execute(
            f"{sql.format(f'{numbers} CROSS JOIN')} AS x ON x.n = j.value",
            (self._db.dialect.listed([n for _, n in tasks]),),
        )

    def _write(self, sql: str, day: int, rows: list[_Row]) -> None:
        if rows:
            self._db.executemany(sql.format(day=day), rows)


def _is_tag(tag: str) -> bool:
    return 0 < len(tag) <= MAX_TAG_CHARS
