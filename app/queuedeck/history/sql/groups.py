# SPDX-License-Identifier: AGPL-3.0-only
"""Failure groups read back: the list, and one group with its newest tasks. Readers only."""

from collections.abc import Sequence

from queuedeck.clock import MINUTE_US
from queuedeck.history.facts import Word
from queuedeck.history.failures import (
    FailureDetail,
    FailureGroup,
    FailureGroups,
    FailureOf,
    FailureOrder,
)
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import has_day, split
from queuedeck.history.sql.detail import find_task
from queuedeck.history.sql.rows import Head, RowMaker, Words, columns, read_sources
from queuedeck.history.tasks import Attempt, TaskRow

RECENT_HOURS = 24
SHOWN_HOURS = 7 * 24
SHOWN_TASKS = 20
SHOWN_SHARES = 10
"""So many names, queues and releases of a group are told."""
_HOUR_US = 60 * MINUTE_US
_ORDERS = {
    FailureOrder.LAST: "last_us DESC",
    FailureOrder.COUNT: "n DESC, last_us DESC",
    FailureOrder.FIRST: "first_us DESC",
}
_COLUMNS = "id, fingerprint, exception, message, culprit, first_us, last_us, n, tasks, recovered"

_Row = tuple[int, int, str, str, str, int, int, int, int, int]
_Share = tuple[str, int]


def read_groups(
    db: Database,
    project_id: int,
    order: FailureOrder,
    since_us: int,
    limit: int,
    now_us: int,
) -> FailureGroups:
    """The groups that were seen since then. A group that was taken back is none."""
    where = "project = ? AND n > 0 AND last_us >= ?"
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM failure_group WHERE {where} ORDER BY {_ORDERS[order]} LIMIT ?",  # noqa: S608
        (project_id, since_us, limit),
    ).fetchall()
    total = db.execute(
        f"SELECT count(*) FROM failure_group WHERE {where}",  # noqa: S608
        (project_id, since_us),
    ).fetchone()[0]
    return FailureGroups(groups=_groups(db, rows, now_us), total=total)


def read_group(
    db: Database, words: Words, project_id: int, group_id: int, now_us: int
) -> FailureDetail | None:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM failure_group WHERE project = ? AND id = ? AND n > 0",  # noqa: S608
        (project_id, group_id),
    ).fetchall()
    if not rows:
        return None
    (group,) = _groups(db, rows, now_us)
    first = now_us // _HOUR_US - SHOWN_HOURS + 1
    tasks = _tasks(db, words, project_id, group_id)
    return FailureDetail(
        group=group,
        since_us=first * _HOUR_US,
        hours=_hours(db, [group_id], first, SHOWN_HOURS)[group_id],
        queues=_shares(db, [group_id], Word.QUEUE)[group_id],
        releases=_shares(db, [group_id], Word.RELEASE)[group_id],
        tasks=tasks,
        sample=_sample(db, words, project_id, group_id, tasks),
    )


def _groups(db: Database, rows: Sequence[_Row], now_us: int) -> list[FailureGroup]:
    ids = [row[0] for row in rows]
    hours = _hours(db, ids, now_us // _HOUR_US - RECENT_HOURS + 1, RECENT_HOURS)
    names = _shares(db, ids, Word.NAME)
    return [_group(row, names[row[0]], hours[row[0]]) for row in rows]


def _group(row: _Row, names: list[_Share], recent: list[int]) -> FailureGroup:
    number, code, exception, message, culprit, first_us, last_us, n, tasks, recovered = row
    return FailureGroup(
        id=number,
        fingerprint=f"{code:016x}",
        exception=exception,
        message=message,
        culprit=culprit,
        first_us=first_us,
        last_us=last_us,
        attempts=n,
        tasks=tasks,
        recovered=recovered,
        names=names,
        recent=recent,
    )


def _hours(db: Database, ids: Sequence[int], first: int, count: int) -> dict[int, list[int]]:
    found = {number: [0] * count for number in ids}
    rows = db.execute(
        f"SELECT h.failure, h.hour, h.n FROM {db.dialect.NUMBERS} CROSS JOIN failure_hour AS h"  # noqa: S608
        " ON h.failure = j.value AND h.hour >= ? AND h.hour < ?",
        (db.dialect.listed(ids), first, first + count),
    )
    for number, hour, n in rows:
        found[number][hour - first] = n
    return found


def _shares(db: Database, ids: Sequence[int], kind: Word) -> dict[int, list[_Share]]:
    """The commonest words of one kind, most attempts first."""
    found: dict[int, list[_Share]] = {number: [] for number in ids}
    rows = db.execute(
        f"SELECT s.failure, w.value, s.n FROM {db.dialect.NUMBERS} CROSS JOIN failure_share AS s"  # noqa: S608
        " ON s.failure = j.value CROSS JOIN word AS w ON w.id = s.word AND w.kind = ?"
        " WHERE s.n > 0 ORDER BY s.n DESC, w.value",
        (db.dialect.listed(ids), kind),
    )
    for number, value, n in rows:
        if len(found[number]) < SHOWN_SHARES:
            found[number].append((value, n))
    return found


def _tasks(db: Database, words: Words, project_id: int, group_id: int) -> list[TaskRow]:
    rows = db.execute(
        "SELECT DISTINCT task FROM failure_attempt WHERE failure = ? ORDER BY task DESC LIMIT ?",
        (group_id, SHOWN_TASKS),
    ).fetchall()
    days: dict[int, list[int]] = {}
    for (task,) in rows:
        day, n = split(task)
        days.setdefault(day, []).append(n)
    heads = [head for day, numbers in days.items() for head in _heads(db, day, numbers)]
    return RowMaker(db, words, project_id).rows(heads, read_sources(db, project_id))


def _heads(db: Database, day: int, numbers: Sequence[int]) -> list[Head]:
    if not has_day(db, day):
        return []
    rows = db.execute(
        f"SELECT {columns(day)} FROM {db.dialect.NUMBERS} CROSS JOIN task_{day} AS t"  # noqa: S608
        " ON t.n = j.value ORDER BY t.n DESC",
        (db.dialect.listed(numbers),),
    )
    return [Head(*row) for row in rows]


def _sample(
    db: Database, words: Words, project_id: int, group_id: int, tasks: Sequence[TaskRow]
) -> Attempt | None:
    """The newest attempt of the newest task that failed so."""
    if not tasks:
        return None
    row = tasks[0]
    failed = db.execute(
        "SELECT max(attempt) FROM failure_attempt WHERE task = ? AND failure = ?",
        (row.key, group_id),
    ).fetchone()[0]
    task = find_task(db, words, project_id, row.engine, row.task_id, key=row.key)
    attempts = [] if task is None else task.attempts
    return next((attempt for attempt in attempts if attempt.number == failed), None)


def read_group_of(db: Database, project_id: int, key: int) -> FailureOf | None:
    row = db.execute(
        "SELECT g.id, g.fingerprint, g.last_us FROM failure_attempt AS a JOIN failure_group AS g"
        " ON g.id = a.failure AND g.project = ? WHERE a.task = ? ORDER BY a.attempt DESC LIMIT 1",
        (project_id, key),
    ).fetchone()
    if row is None:
        return None
    group, code, last_us = row
    first = last_us // _HOUR_US - RECENT_HOURS + 1
    recent = sum(_hours(db, [group], first, RECENT_HOURS)[group])
    return FailureOf(group, f"{code:016x}", recent)
