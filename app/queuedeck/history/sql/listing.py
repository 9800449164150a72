# SPDX-License-Identifier: AGPL-3.0-only
"""Pages of the task list: how they are found is in `search.py` and `walk.py`."""

from itertools import islice

from queuedeck.errors import Invalid
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.days import split
from queuedeck.history.sql.rows import RowMaker, Words, read_sources
from queuedeck.history.sql.search import plan
from queuedeck.history.sql.walk import NEWEST, Walk
from queuedeck.history.tasks import TaskPage

MAX_LIMIT = 500


def list_tasks(
    db: Database,
    words: Words,
    now_us: int,
    project_id: int,
    question: TaskFilter,
    limit: int,
    after: str,
) -> TaskPage:
    """The newest tasks that match, older than the cursor."""
    limit = max(1, min(limit, MAX_LIMIT))
    before = parse_cursor(after) if after else NEWEST
    with reading(db):
        sources = read_sources(db, project_id)
        walk = Walk(db, plan(db, project_id, question, sources, now_us), before)
        heads = list(islice(walk.heads(limit + 1), limit + 1))
        rows = RowMaker(db, words, project_id).rows(heads[:limit], sources)
        back_to_us = time_at(db, walk.reached) if walk.reached else None
    if len(heads) > limit:
        return TaskPage(tasks=rows, after=format_cursor(heads[limit - 1].id))
    if walk.reached:
        after = format_cursor(walk.reached)
        return TaskPage(tasks=rows, after=after, complete=False, back_to_us=back_to_us)
    return TaskPage(tasks=rows, after="")


def time_at(db: Database, number: int) -> int | None:
    """When the task with this id, or the next one after it, was first seen."""
    day, n = split(number)
    row = db.execute(
        f"SELECT seen_us FROM task_{day} WHERE n >= ? ORDER BY n LIMIT 1",  # noqa: S608
        (n,),
    ).fetchone()
    return None if row is None else row[0]


def format_cursor(key: int) -> str:
    return f"{key:x}"


def parse_cursor(cursor: str) -> int:
    try:
        key = int(cursor, 16)
    except ValueError:
        key = -1
    if not 0 <= key <= NEWEST:
        raise Invalid(f"The cursor {cursor[:40]!r} is not one of ours. Start without `after`.")
    return key
