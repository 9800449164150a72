# SPDX-License-Identifier: AGPL-3.0-only
"""Pages of the task list: filters, cursors and the budget, against plain Python."""

import fnmatch

import pytest
from tests.support.history_events import (
    batch,
    failed,
    lost,
    published,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.errors import Invalid
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql import walk
from queuedeck.history.tasks import TaskState

NAMES = ["app.mail.send", "app.mail.digest", "app.pay.charge", "lib.[x]"]
QUEUES = ["mail", "pay"]
ENDS = [None, started, succeeded, failed, lost]
TASKS = 200


def task_id(number):
    return f"order-{number}" if number % 10 == 0 else uuid_of(str(number))


@pytest.fixture
async def full(history):
    """200 tasks of every name, queue and end; every tenth has an id that is no UUID."""
    events = [source_seen()]
    for number in range(TASKS):
        name, end = NAMES[number % 4], ENDS[number % 5]
        queue = QUEUES[number % 2]
        events.append(published(task_id(number), number * 10, name=name, queue=queue))
        if end is not None:
            events.append(end(task_id(number), number * 10 + 1, worker=f"w{number % 3}@host"))
    other = [source_seen(), published(uuid_of("theirs"), 9_999, name="app.mail.send")]
    await history.record([batch(events), batch(other, lane="b" * 32, project_id=2)])
    return history


async def all_pages(history, question, limit=7):
    rows, after, pages = [], "", 0
    while True:
        page = await history.list_tasks(1, question, limit, after)
        rows += page.tasks
        pages += 1
        assert len(page.tasks) <= limit
        if not page.after:
            assert page.complete
            return rows, pages
        after = page.after


def fits(patterns):
    return lambda name: any(
        fnmatch.fnmatchcase(name, p.replace("[", "[[]")) if "*" in p else name == p
        for p in patterns
    )


QUESTIONS = {
    "everything": (TaskFilter(), lambda r: True),
    "one name": (TaskFilter(names=("app.pay.charge",)), lambda r: r.name == "app.pay.charge"),
    "pattern": (TaskFilter(names=("app.mail.*",)), lambda r: fits(["app.mail.*"])(r.name)),
    "pattern with a bracket": (TaskFilter(names=("lib.[x*",)), lambda r: r.name == "lib.[x]"),
    "unknown name": (TaskFilter(names=("nope",)), lambda r: False),
    "failed": (TaskFilter(states=(TaskState.FAILED,)), lambda r: r.state == "failed"),
    "open and lost": (
        TaskFilter(states=(TaskState.QUEUED, TaskState.RUNNING, TaskState.LOST)),
        lambda r: r.state in ("queued", "running", "lost"),
    ),
    "succeeded or failed": (
        TaskFilter(states=(TaskState.SUCCEEDED, TaskState.FAILED)),
        lambda r: r.state in ("succeeded", "failed"),
    ),
    "queue": (TaskFilter(queues=("pay",)), lambda r: r.queue == "pay"),
    "worker": (TaskFilter(workers=("w1@*",)), lambda r: r.worker == "w1@host"),
    "other engine": (TaskFilter(engines=("rq",)), lambda r: False),
    "this engine": (TaskFilter(engines=("rq", "celery")), lambda r: True),
    "uuid": (TaskFilter(ids=(uuid_of("3"),)), lambda r: r.task_id == uuid_of("3")),
    "text id": (TaskFilter(ids=("order-10", "no")), lambda r: r.task_id == "order-10"),
    "not states": (
        TaskFilter(not_states=(TaskState.SUCCEEDED, TaskState.QUEUED)),
        lambda r: r.state not in ("succeeded", "queued"),
    ),
    "not names": (
        TaskFilter(not_names=("app.*",), not_queues=("mail",)),
        lambda r: not r.name.startswith("app.") and r.queue != "mail",
    ),
    "part of a name": (TaskFilter(texts=("MAIL",)), lambda r: "mail" in r.name),
    "beginning of an id": (
        TaskFilter(texts=("order-1",)),
        lambda r: r.task_id.startswith("order-1"),
    ),
    "beginning of a uuid": (
        TaskFilter(texts=(uuid_of("3")[:6],)),
        lambda r: r.task_id == uuid_of("3"),
    ),
    "long beginning of a uuid": (
        TaskFilter(texts=(uuid_of("3")[:30],)),
        lambda r: r.task_id == uuid_of("3"),
    ),
    "wrong end of a uuid": (TaskFilter(texts=(uuid_of("3")[:30] + "x",)), lambda r: False),
    "all together": (
        TaskFilter(names=("app.*",), states=(TaskState.FAILED,), queues=("pay",), texts=("pay",)),
        lambda r: r.name == "app.pay.charge" and r.state == "failed" and r.queue == "pay",
    ),
}


@pytest.mark.parametrize(("question", "wanted"), QUESTIONS.values(), ids=QUESTIONS)
async def test_pages_hold_what_was_asked_for_newest_first(full, question, wanted):
    everything, _ = await all_pages(full, TaskFilter(), 500)
    rows, _ = await all_pages(full, question)
    assert [row.task_id for row in rows] == [row.task_id for row in everything if wanted(row)]
    assert [row.key for row in rows] == sorted({row.key for row in rows}, reverse=True)


@pytest.mark.parametrize(("question", "wanted"), QUESTIONS.values(), ids=QUESTIONS)
async def test_small_chunks_give_the_same_pages(full, question, wanted, monkeypatch):
    monkeypatch.setattr(walk, "CHUNK_ROWS", 9)
    everything, _ = await all_pages(full, TaskFilter(), 500)
    rows, _ = await all_pages(full, question)
    assert [row.task_id for row in rows] == [row.task_id for row in everything if wanted(row)]


async def test_a_search_stops_at_its_budget_and_goes_on_from_there(full, monkeypatch):
    monkeypatch.setattr(walk, "CHUNK_ROWS", 20)
    monkeypatch.setattr(walk, "BUDGET_ROWS", 40)
    question = TaskFilter(workers=("w1@host",), queues=("pay",))
    page = await full.list_tasks(1, question, 50)
    assert not page.complete
    assert page.after
    rows = list(page.tasks)
    while page.after:
        page = await full.list_tasks(1, question, 50, page.after)
        rows += page.tasks
    everything, _ = await all_pages(full, TaskFilter(), 500)
    wanted = [r.key for r in everything if r.worker == "w1@host" and r.queue == "pay"]
    assert [row.key for row in rows] == wanted


async def test_a_word_that_no_task_has_is_no_search(full, monkeypatch):
    monkeypatch.setattr(walk, "BUDGET_ROWS", 1)
    for question in (TaskFilter(workers=("gone",)), TaskFilter(queues=("no*",), names=("app.*",))):
        page = await full.list_tasks(1, question, 50)
        assert (page.tasks, page.after, page.complete) == ([], "", True)


async def test_names_beyond_the_stream_limit_are_found_by_walking(full, monkeypatch):
    monkeypatch.setattr("queuedeck.history.sql.search.MOST_STREAMS", 1)
    for text in ("app", uuid_of("3")[:8], "order-1"):
        rows, _ = await all_pages(full, TaskFilter(texts=(text,)))
        everything, _ = await all_pages(full, TaskFilter(), 500)
        wanted = [r.key for r in everything if text in r.name or r.task_id.startswith(text)]
        assert [row.key for row in rows] == wanted


async def test_last_page_says_that_it_is_the_last(full):
    rows, pages = await all_pages(full, TaskFilter(), 100)
    assert (len(rows), pages) == (TASKS, 2)


async def test_another_projects_tasks_are_never_listed(full):
    page = await full.list_tasks(2, TaskFilter(), 50)
    assert [row.task_id for row in page.tasks] == [uuid_of("theirs")]
    assert (await full.list_tasks(3, TaskFilter(), 50)).tasks == []
    assert (await full.list_tasks(2, TaskFilter(ids=(uuid_of("3"),)), 50)).tasks == []
    assert (await full.list_tasks(2, TaskFilter(texts=(uuid_of("3"),)), 50)).tasks == []


@pytest.mark.parametrize("cursor", ["x", "-1", "f" * 40])
async def test_a_cursor_that_is_not_ours_is_refused(full, cursor):
    with pytest.raises(Invalid, match="cursor"):
        await full.list_tasks(1, TaskFilter(), 10, cursor)
