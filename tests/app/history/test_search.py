# SPDX-License-Identifier: AGPL-3.0-only
"""Every field of a question against plain Python, over several days, with the index of words
empty, full and half full.
"""

import asyncio

import msgspec
import pytest
from tests.support.history_events import (
    NOW_US,
    batch,
    failed,
    published,
    retrying,
    source_seen,
    started,
    succeeded,
    uuid_of,
)
from tests.support.history_stores import PostgresKind, SqliteKind

from queuedeck.domain.tasks.filters import parse
from queuedeck.history.sql import fulltext, walk

S, M, H = 1_000_000, 60_000_000, 3_600_000_000
TASKS = 240
STEP_US = 16 * M
"""One task each: 240 of them are 64 hours."""
OTHER = "ba9876543210"


class Made(msgspec.Struct):
    """One task as it was made."""

    number: int
    task_id: str
    at_us: int
    attempts: int
    wait_us: int
    run_us: int
    is_failed: bool
    is_open: bool


def made(number):
    task_id = f"order-{number}" if number % 10 == 0 else uuid_of(str(number))
    at_us = NOW_US - (TASKS - number) * STEP_US
    attempts = 3 if number % 20 == 3 else 1
    run_us = (number % 6) * 10 * S
    return Made(number, task_id, at_us, attempts, (number % 4) * 10 * S, run_us,
                number % 5 == 0, number % 7 == 6)  # fmt: skip


ALL = [made(number) for number in range(TASKS)]


def events_of(task):
    at, number = task.at_us - NOW_US, task.number
    call = msgspec.json.encode(
        {"args": [number, "VIP" if number % 8 == 0 else "plain"],
         "kwargs": {"order": {"id": f"SO-{number}", "lines": [{"sku": f"k{number % 9}"}]}}}
    )  # fmt: skip
    root = uuid_of(str(number // 12 * 12)) if number % 12 else task.task_id
    yield published(task.task_id, at, args=call, root_id=root)
    begin = at + task.wait_us
    release = f"1.{number // 100}.0"
    for attempt in range(1, task.attempts):
        yield started(task.task_id, begin, attempt, release=release)
        yield retrying(task.task_id, begin, attempt, exception="app.errors.Busy")
    yield started(task.task_id, begin, task.attempts, release=release)
    if task.is_open:
        return
    if task.is_failed:
        message = f"gateway {number % 9} timed out\nmore"
        kind = "app.errors.TimeoutError" if number % 2 else "ValueError"
        yield failed(task.task_id, begin + task.run_us, task.attempts, run_us=task.run_us,
                     exception=kind, message=message)  # fmt: skip
    else:
        big = "x" * 300 if number % 3 else ""
        result = msgspec.json.encode({"status": "ok" if number % 2 else "skipped", "pad": big})
        yield succeeded(task.task_id, begin + task.run_us, task.attempts, run_us=task.run_us,
                        result=result)  # fmt: skip


async def index_all(history):
    for _ in range(200):
        if not await history.index_words():
            return
    raise AssertionError("The index of words is never done.")


async def nothing(history):
    pass


async def index_half(history):
    for _ in range(2):
        assert await history.index_words()


INDEXED = {"nothing": nothing, "half": index_half, "all": index_all}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request, tmp_path_factory):
    if request.param == "sqlite":
        return SqliteKind(tmp_path_factory.mktemp("search"))
    return PostgresKind("search")


@pytest.fixture(scope="module", params=INDEXED)
def made_file(request, database):
    """All tasks, those of another project with the same words, and so much of the index."""
    database.empty()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fulltext, "STEP_TASKS", 17)
        asyncio.run(make(database, INDEXED[request.param]))
    return database


async def make(database, index):
    store = database.history()
    await store.open()
    events = [event for task in ALL for event in events_of(task)]
    mine = [source_seen(), *events]
    await store.record([batch(mine), batch(mine, lane="b" * 32, project_id=2)])
    await index(store)
    await store.close()


@pytest.fixture
async def full(made_file):
    store = made_file.history()
    await store.open()
    yield store
    await store.close()


async def all_ids(history, question, limit=50):
    rows, after = [], ""
    for _ in range(1_000):
        page = await history.list_tasks(1, question, limit, after)
        rows += page.tasks
        after = page.after
        if not after:
            assert page.complete
            assert [row.key for row in rows] == sorted({row.key for row in rows}, reverse=True)
            return [row.task_id for row in rows]
    raise AssertionError("The pages never end.")


def is_done(task):
    return not task.is_open


def kind_of(task):
    """The type of the newest error."""
    if task.is_open:
        return "app.errors.Busy" if task.attempts > 1 else ""
    if not task.is_failed:
        return ""
    return "app.errors.TimeoutError" if task.number % 2 else "ValueError"


WANTED = {
    "runtime:>30s": lambda t: (t.run_us if is_done(t) else NOW_US - t.at_us - t.wait_us) > 30 * S,
    "runtime:<=10s": lambda t: is_done(t) and t.run_us <= 10 * S,
    "-runtime:<=10s": lambda t: not (is_done(t) and t.run_us <= 10 * S),
    "runtime:10s..20s,50s..": lambda t: (
        10 * S <= t.run_us <= 20 * S or t.run_us >= 50 * S if is_done(t) else True
    ),
    "wait:20s..": lambda t: t.attempts == 1 and t.wait_us >= 20 * S,
    "retries:2": lambda t: t.attempts == 3,
    "retries:>0 state:failed": lambda t: t.attempts == 3 and t.is_failed and is_done(t),
    "-retries:0": lambda t: t.attempts > 1,
    "at:10h": lambda t: t.at_us >= NOW_US - 10 * H,
    "at:40h..30h": lambda t: NOW_US - 40 * H <= t.at_us < NOW_US - 30 * H,
    "at:..50h": lambda t: t.at_us < NOW_US - 50 * H,
    "-at:50h..2h": lambda t: not NOW_US - 50 * H <= t.at_us < NOW_US - 2 * H,
    "at:60h..59h,3h..2h": lambda t: (
        NOW_US - 60 * H <= t.at_us < NOW_US - 59 * H or NOW_US - 3 * H <= t.at_us < NOW_US - 2 * H
    ),
    "at:2026-01-01": lambda t: False,
    "error:TimeoutError": lambda t: kind_of(t) == "app.errors.TimeoutError",
    "error:app.errors.*": lambda t: kind_of(t).startswith("app.errors."),
    "error:ValueError,Busy": lambda t: kind_of(t) in ("ValueError", "app.errors.Busy"),
    "-error:*": lambda t: not kind_of(t),
    "release:1.1.0": lambda t: t.number // 100 == 1,
    "release:1.*.0 -release:1.1.*": lambda t: t.number // 100 in (0, 2),
    "release:9": lambda t: False,
    f"root:{uuid_of('36')}": lambda t: t.number // 12 == 3,
    "root:order-60": lambda t: t.number == 60,
    f"-root:{uuid_of('36')}": lambda t: t.number // 12 != 3,
    f"id:order-20,{uuid_of('3')}": lambda t: t.number in (3, 20),
    f"-id:order-20,{uuid_of('3')}": lambda t: t.number not in (3, 20),
    "source:0123456789ab": lambda t: True,
    "source:redis://celery state:failed": lambda t: is_done(t) and t.is_failed,
    f"source:{OTHER}": lambda t: False,
    "-source:redis://celery": lambda t: False,
    "-engine:celery": lambda t: False,
    "-worker:w1@host": lambda t: False,
    "args.order.id:SO-77": lambda t: t.number == 77,
    "args.order.id:SO-7*": lambda t: str(t.number).startswith("7"),
    "args.order.lines.*.sku:k3,k4": lambda t: t.number % 9 in (3, 4),
    "args.order.lines.0.sku:k3 state:failed": lambda t: (
        t.number % 9 == 3 and t.is_failed and is_done(t)
    ),
    "-args.1:plain": lambda t: t.number % 8 == 0,
    "args.0:12": lambda t: t.number == 12,
    "args:VIP": lambda t: t.number % 8 == 0,
    "args:SO-8 at:70h": lambda t: t.number == 8,
    "args.nothing:1": lambda t: False,
    "result.status:ok": lambda t: is_done(t) and not t.is_failed and t.number % 2,
    "-result.status:ok": lambda t: not (is_done(t) and not t.is_failed and t.number % 2),
    "vip": lambda t: t.number % 8 == 0,
    "SO-77": lambda t: t.number == 77,
    "so-7": lambda t: str(t.number).startswith("7"),
    "vip -so-8": lambda t: t.number % 8 == 0 and not str(t.number).startswith("8"),
    '"gateway 4 timed"': lambda t: is_done(t) and t.is_failed and t.number % 9 == 4,
    "gateway TimeoutError": lambda t: kind_of(t) == "app.errors.TimeoutError",
    "vip timed": lambda t: t.number % 8 == 0 and t.is_failed and is_done(t),
    "*imed": lambda t: t.is_failed and is_done(t),
    "imed": lambda t: False,
    "order-2": lambda t: t.task_id.startswith("order-2"),
    "mail.send state:running": lambda t: t.is_open,
    "vip task:app.mail.send -state:running queue:mail": lambda t: t.number % 8 == 0 and is_done(t),
    "vip task:nope": lambda t: False,
}


@pytest.mark.parametrize(("text", "wanted"), WANTED.items(), ids=WANTED)
async def test_search_finds_what_was_asked_for(full, text, wanted):
    expected = [task.task_id for task in reversed(ALL) if wanted(task)]
    assert await all_ids(full, parse(text), 7) == expected


@pytest.mark.parametrize(
    "text", ["vip", "args.order.id:SO-7*", "at:40h..30h vip", "-result.status:ok"]
)
async def test_small_steps_find_the_same(full, text, monkeypatch):
    expected = await all_ids(full, parse(text))
    monkeypatch.setattr(walk, "CHUNK_ROWS", 9)
    monkeypatch.setattr(walk, "DEEP_ROWS", 4)
    monkeypatch.setattr(walk, "BUDGET_ROWS", 30)
    assert await all_ids(full, parse(text), 3) == expected


async def test_a_search_that_stops_says_how_far_it_looked(full, monkeypatch):
    monkeypatch.setattr(walk, "CHUNK_ROWS", 10)
    monkeypatch.setattr(walk, "BUDGET_ROWS", 20)
    page = await full.list_tasks(1, parse("-task:*"), 50)
    assert not page.complete
    assert page.after
    assert page.back_to_us == ALL[-20].at_us
