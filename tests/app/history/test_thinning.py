# SPDX-License-Identifier: AGPL-3.0-only
"""A project that keeps less than the server loses exactly that, in small steps, and nobody else."""

import pytest
from tests.support.history_events import batch, source_seen
from tests.support.history_retention import TODAY, Retained, counted, found, life

from queuedeck.clock import DAY_US
from queuedeck.history.retention import Kept
from queuedeck.history.sql import thinning
from queuedeck.history.sql.changes import HEAD_BYTES

THRIFTY, OTHER = 1, 2
LATER = 20


@pytest.fixture
def day(kind, monkeypatch):
    monkeypatch.setattr(thinning, "THIN_TASKS", 7)
    one = Retained(kind)
    for number in range(6):
        one.fill(number, 10)
        events = [source_seen(), *(e for n in range(5) for e in life(f"o{number}/{n}", one.at))]
        one.writer.record([batch(events, 1, project_id=OTHER, lane=f"{number + 1:032x}")])
    one.at = LATER * DAY_US
    one.tidy(keep=LATER + 5)  # The days are searched no longer; all are kept.
    yield one
    one.close()


def thin(day, task_days, payload_days):
    steps = 0
    kept = Kept(project_id=THRIFTY, task_days=task_days, payload_days=payload_days)
    while day.writer.thin(kept):
        steps += 1
        assert steps < 1_000
    return steps


def tasks_of(day, project):
    counts = (
        day.db.execute(f"SELECT count(*) FROM task_{TODAY + n} WHERE project = ?", (project,))
        for n in range(6)
    )
    return [rows.fetchone()[0] for rows in counts]


def payloads_of(day, project):
    found = []
    for n in range(6):
        total = 0
        for table in ("call", "outcome"):
            ids = day.db.execute(
                f"SELECT p.id FROM {table}_{TODAY + n} AS p JOIN task_{TODAY + n} AS t"
                f" ON t.n = p.id >> {thinning.PAYLOAD_BITS} WHERE t.project = ?",
                (project,),
            )
            total += len(ids.fetchall())
        found.append(total)
    return found


def test_tasks_beyond_the_project_s_days_go(day):
    before = tasks_of(day, OTHER), payloads_of(day, OTHER)
    assert thin(day, LATER - 2, LATER - 2) > 6
    assert tasks_of(day, THRIFTY) == [0, 0, 0, 11, 11, 11]
    assert (tasks_of(day, OTHER), payloads_of(day, OTHER)) == before
    assert counted(day.db) == found(day)
    days = day.db.execute("SELECT day FROM usage WHERE project = ? ORDER BY day", (THRIFTY,))
    assert [row[0] - TODAY for row in days] == [3, 4, 5]
    for table in ("call", "outcome"):
        orphans = day.db.execute(
            f"SELECT count(*) FROM {table}_{TODAY} WHERE id >> {thinning.PAYLOAD_BITS}"
            f" NOT IN (SELECT n FROM task_{TODAY})"
        )
        assert orphans.fetchone()[0] == 0


def test_payloads_go_before_their_tasks(day):
    before = tasks_of(day, OTHER), payloads_of(day, OTHER)
    all_tasks = tasks_of(day, THRIFTY)
    thin(day, LATER + 5, LATER - 2)
    assert tasks_of(day, THRIFTY) == all_tasks
    assert [count == 0 for count in payloads_of(day, THRIFTY)] == [True] * 3 + [False] * 3
    assert (tasks_of(day, OTHER), payloads_of(day, OTHER)) == before
    sizes = day.db.execute(
        "SELECT tasks, bytes FROM usage WHERE project = ? ORDER BY day", (THRIFTY,)
    ).fetchall()
    assert [size == tasks * HEAD_BYTES for tasks, size in sizes] == [True] * 3 + [False] * 3


def test_what_was_done_is_not_done_again(day):
    thin(day, LATER - 2, LATER - 4)
    assert thin(day, LATER - 2, LATER - 4) == 0


def test_it_goes_on_after_a_restart(day):
    kept = Kept(project_id=THRIFTY, task_days=LATER - 2, payload_days=LATER - 4)
    for _ in range(3):
        assert day.writer.thin(kept)
    day.writer.close()
    day.open()
    thin(day, LATER - 2, LATER - 4)
    assert tasks_of(day, THRIFTY) == [0, 0, 0, 11, 11, 11]
    assert payloads_of(day, THRIFTY)[3:5] == [0, 0]


def test_days_that_are_still_searched_wait(kind):
    one = Retained(kind)
    one.fill(0, 3)
    assert thin(one, 0, 0) == 0
    one.close()
