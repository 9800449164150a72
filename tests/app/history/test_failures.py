# SPDX-License-Identifier: AGPL-3.0-only
"""The tables of failure groups against a direct count over the facts."""

from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_events import (
    NOW_US,
    Dictionary,
    events_of,
    failed,
    published,
    retrying,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.clock import DAY_US
from queuedeck.history.derive import derive
from queuedeck.history.facts import Failed, Retrying, fact_of, parts_of
from queuedeck.history.sql import failures
from queuedeck.history.sql.days import DAY_SHIFT
from queuedeck.history.sql.failures import Change, Failures, prune
from queuedeck.history.states import ending_of, merge
from queuedeck.history.tasks import TaskState

IDS = [uuid_of("one"), uuid_of("two"), uuid_of("three")]
TODAY = NOW_US // DAY_US


class Book:
    """Tasks in memory, their failure groups in a database."""

    def __init__(self, db):
        self.db = db
        self.failures = Failures(self.db)
        self.intern = Dictionary()
        self.tasks = defaultdict(dict)
        self.heads = {}

    def record(self, events):
        before = {event.task_id: dict(self.tasks[event.task_id]) for event in events}
        traces = {}
        for event in events:
            fact = fact_of(event, self.intern)
            merge(self.tasks[event.task_id], fact)
            traces[fact] = parts_of(event)[1].decode()
        self.db.executemany(
            "INSERT INTO word (id, project, kind, value) VALUES (?, 1, ?, ?)"
            " ON CONFLICT DO NOTHING",
            [(number, number, value) for number, value in self.intern.words.items()],
        )
        for task_id, old in before.items():
            facts = self.tasks[task_id]
            change = Change(1, self.key(task_id), old, facts, derive(facts))
            self.heads[task_id] = self.failures.count(change, traces.__getitem__)
        self.failures.write(NOW_US + DAY_US)

    def key(self, task_id):
        return TODAY << DAY_SHIFT | IDS.index(task_id) + 1

    def groups(self):
        rows = self.db.execute(
            "SELECT exception, message, n, tasks, recovered FROM failure_group WHERE n <> 0"
        )
        return {row[:2]: row[2:] for row in rows}

    def counted(self, table, column):
        return Counter(
            dict(self.db.execute(f"SELECT {column}, sum(n) FROM {table} GROUP BY 1").fetchall())
        )


@pytest.fixture
def book(kind):
    with kind.fresh() as writer:
        yield Book(writer.db)


def expected(book):
    attempts, tasks, recovered = Counter(), Counter(), Counter()
    for facts in book.tasks.values():
        seen = set()
        for attempt in {key >> 4 for key in facts}:
            ending = ending_of(facts, attempt)
            if isinstance(ending, Failed | Retrying):
                words = book.intern.words[ending.exception], ending.message.partition("\n")[0]
                attempts[words] += 1
                seen.add(words)
        tasks.update(seen)
        if facts and derive(facts).state is TaskState.SUCCEEDED:
            recovered.update(seen)
    return {words: (n, tasks[words], recovered[words]) for words, n in attempts.items()}


def expected_shares(book):
    shares = Counter()
    for facts in book.tasks.values():
        for attempt in {key >> 4 for key in facts}:
            if isinstance(ending_of(facts, attempt), Failed | Retrying):
                seen = derive(facts)
                shares.update({seen.name, seen.queue} - {0})
    return shares


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(events_of(IDS), min_size=1, max_size=6), max_size=8), st.data())
def test_groups_equal_a_direct_count(kind, groups, data):
    with kind.fresh() as writer:
        book = Book(writer.db)
        for group in groups:
            book.record(group)
            if data.draw(st.booleans()):
                book.failures.forget()
        assert book.groups() == expected(book)
        assert +book.counted("failure_share", "word") == +expected_shares(book)
        total = sum(n for n, _, _ in book.groups().values())
        assert book.counted("failure_hour", "1")[1] == total
        assert book.db.execute("SELECT count(*) FROM failure_attempt").fetchone()[0] == total


def test_reports_again_add_nothing(book):
    life = [started(IDS[0], 1), failed(IDS[0], 2)]
    book.record(life)
    book.record(life)
    assert book.groups() == {("ValueError", "no"): (1, 1, 0)}


def test_a_task_that_succeeded_after_failing_has_recovered(book):
    book.record([retrying(IDS[0], 2), succeeded(IDS[0], 9, attempt=2), failed(IDS[1], 3)])
    assert book.groups()["TimeoutError", "slow"] == (1, 1, 1)
    assert book.groups()["ValueError", "no"] == (1, 1, 0)


def test_a_later_success_of_the_attempt_takes_the_failure_back(book):
    book.record([failed(IDS[0], 2)])
    book.record([succeeded(IDS[0], 3)])
    assert book.groups() == {}
    assert book.heads[IDS[0]] == 0


def test_head_names_the_group_of_the_newest_failed_attempt(book):
    book.record([retrying(IDS[0], 2), failed(IDS[0], 9, attempt=2)])
    newest = book.db.execute("SELECT id FROM failure_group WHERE exception = 'ValueError'")
    assert book.heads[IDS[0]] == newest.fetchone()[0]
    book.record([succeeded(IDS[1], 3)])
    assert book.heads[IDS[1]] is None


def test_tracebacks_tell_groups_apart(book):
    trace = '  File "/srv/app/{}.py", line 3, in send\n    x()\nE: no\n'
    for task_id, module in zip(IDS, ("mail", "pay", "mail"), strict=True):
        book.record([failed(task_id, 2, traceback=trace.format(module))])
    counts = book.db.execute("SELECT culprit, n FROM failure_group ORDER BY 1").fetchall()
    assert counts == [("app/mail.py in send", 2), ("app/pay.py in send", 1)]


def test_the_queue_that_is_told_later_is_counted(book):
    book.record([failed(IDS[0], 2)])
    book.record([published(IDS[0], 0, queue="pay")])
    pay = book.intern(2, "pay")
    assert book.counted("failure_share", "word")[pay] == 1


def test_new_kinds_beyond_the_bound_are_one_group(book, monkeypatch):
    monkeypatch.setattr(failures, "MAX_GROUPS", 1)
    for n, task_id in enumerate(IDS):
        book.record([failed(task_id, 2, exception=f"E{n}")])
        book.failures.forget()
    assert book.groups() == {
        ("E0", "no"): (1, 1, 0),
        ("", "Failures of further kinds"): (2, 2, 0),
    }


def test_seen_first_and_last_whatever_came_first(book):
    book.record([failed(IDS[0], 9)])
    book.record([failed(IDS[1], 3)])
    assert book.db.execute("SELECT first_us, last_us FROM failure_group").fetchone() == (
        NOW_US + 3,
        NOW_US + 9,
    )


def test_rows_about_deleted_days_are_pruned_and_counts_stay(book):
    book.record([failed(IDS[0], 2)])
    book.db.execute("INSERT INTO day (day, layout, searched) VALUES (?, 2, 0)", (TODAY + 1,))
    assert prune(book.db, NOW_US, 10, {}) == 1
    assert prune(book.db, NOW_US, 10, {}) == 0
    assert book.groups() == {("ValueError", "no"): (1, 1, 0)}


def test_hours_go_with_the_counts_of_a_project_that_keeps_them_for_fewer_days(book):
    book.record([failed(IDS[0], 2)])
    later = NOW_US + 5 * DAY_US
    assert prune(book.db, later, 10, {1: 6, 2: 1}) == 0
    assert prune(book.db, later, 10, {1: 4}) == 1
    assert book.db.execute("SELECT count(*) FROM failure_hour").fetchone()[0] == 0
    assert book.groups() == {("ValueError", "no"): (1, 1, 0)}
