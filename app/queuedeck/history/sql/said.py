# SPDX-License-Identifier: AGPL-3.0-only
"""Reads what tasks said beside their states. A task's flags tell whether there is anything, so that
lists of tasks without extras ask for nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import join, split
from queuedeck.history.sql.tasks import FLAG_LOGS, FLAG_PROGRESS, FLAG_TAGS, FLAG_TRACE
from queuedeck.history.tasks import LoggedLine, Progress
from queuedeck_agent import wire

MOST_LINES = 2_000
"""So many lines of one task are read."""

_progress = msgspec.msgpack.Decoder(tuple[float, float, str]).decode
_lines = msgspec.msgpack.Decoder(tuple[wire.LogLine, ...]).decode


class Head(Protocol):
    """What must be known of a task: see `rows.Head`."""

    id: int
    flags: int


class Log(msgspec.Struct):
    """Of one attempt."""

    lines: list[LoggedLine]
    left_out: int = 0


NO_LOG = Log([])


def read_tags(db: Database, heads: Iterable[Head]) -> dict[int, tuple[str, ...]]:
    """The tags of tasks, sorted."""
    found: dict[int, list[str]] = {}
    for day, numbers in _flagged(heads, FLAG_TAGS).items():
        rows = db.execute(
            f"SELECT x.n, x.value FROM {db.dialect.NUMBERS} CROSS JOIN tag_{day} AS x"  # noqa: S608
            f" INDEXED BY tag_{day}_n ON x.n = j.value",
            (db.dialect.listed(numbers),),
        )
        for n, value in rows:
            found.setdefault(join(day, n), []).append(value)
    return {number: tuple(sorted(tags)) for number, tags in found.items()}


def read_progress(db: Database, heads: Iterable[Head]) -> dict[int, Progress]:
    """How far tasks are, or were when they ended."""
    found: dict[int, Progress] = {}
    for day, numbers in _flagged(heads, FLAG_PROGRESS).items():
        rows = db.execute(
            f"SELECT x.n, x.attempt, x.at_us, x.data FROM {db.dialect.NUMBERS}"  # noqa: S608
            f" CROSS JOIN progress_{day} AS x ON x.n = j.value",
            (db.dialect.listed(numbers),),
        )
        for n, attempt, at_us, data in rows:
            current, total, message = _progress(data)
            found[join(day, n)] = Progress(
                attempt=attempt,
                at_us=at_us,
                current=current,
                total=total if total >= 0 else None,
                message=message,
            )
    return found


def read_traces(db: Database, head: Head) -> dict[int, str]:
    """Attempt -> trace id."""
    if not head.flags & FLAG_TRACE:
        return {}
    day, n = split(head.id)
    rows = db.execute(f"SELECT attempt, value FROM trace_{day} WHERE n = ?", (n,))  # noqa: S608
    return dict(rows.fetchall())


def read_logs(db: Database, head: Head) -> dict[int, Log]:
    """Attempt -> its lines, in the order in which they were written."""
    if not head.flags & FLAG_LOGS:
        return {}
    day, n = split(head.id)
    rows = db.execute(
        f"SELECT attempt, left_out, data FROM log_{day} WHERE n = ? ORDER BY at_us, first LIMIT ?",  # noqa: S608
        (n, MOST_LINES),
    )
    logs: dict[int, Log] = {}
    for attempt, left_out, data in rows:
        log = logs.setdefault(attempt, Log([]))
        log.left_out += left_out
        log.lines += [
            LoggedLine(at_us=one.at_us, level=one.level, logger=one.logger, text=one.text)
            for one in (_lines(data) if data else ())
        ]
    dropped = db.execute(f"SELECT left_out FROM log_use_{day} WHERE n = ?", (n,)).fetchone()  # noqa: S608
    if dropped and logs:
        logs[max(logs)].left_out += dropped[0]
    return logs


def _flagged(heads: Iterable[Head], flag: int) -> dict[int, Sequence[int]]:
    days: dict[int, list[int]] = {}
    for head in heads:
        if head.flags & flag:
            day, n = split(head.id)
            days.setdefault(day, []).append(n)
    return dict(days)
