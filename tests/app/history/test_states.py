# SPDX-License-Identifier: AGPL-3.0-only
"""The state rules by table, and as properties over random facts."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.history_events import (
    NOW_US,
    SOURCE,
    Dictionary,
    cancelled,
    events_of,
    failed,
    lost,
    published,
    received,
    retrying,
    started,
    succeeded,
)

from queuedeck.history.derive import derive, derive_any
from queuedeck.history.facts import Kind, TaskChecked, Verdict, fact_of
from queuedeck.history.states import (
    KEPT_ATTEMPTS,
    Facts,
    as_reported,
    attempt_state,
    generation_of,
    is_conflicting,
    key_of,
    merge,
)
from queuedeck.history.tasks import FINAL_STATES, TaskState
from queuedeck_agent import wire

T = "t"
SOON = NOW_US + 1_000_000


def fold(events, intern=None) -> Facts:
    intern = intern or Dictionary()
    facts: Facts = {}
    for event in events:
        merge(facts, fact_of(event, intern))
    return facts


def visible(events):
    """Everything that is shown, with words instead of references."""
    words = Dictionary()
    for name in ("app.mail.send", "app.pay.charge", "w1@host", "w2@host", "mail", "pay", "A", "B"):
        for kind in (1, 2, 3, 4):
            words(kind, name)
    return derive(fold(events, words))


CASES = {
    "published": ([published(T)], "queued", 0),
    "received": ([received(T)], "queued", 0),
    "published for later": ([published(T, eta_us=SOON)], "scheduled", 0),
    "held by a worker until due": ([received(T, eta_us=SOON)], "scheduled", 0),
    "published for later, started": ([published(T, eta_us=SOON), started(T)], "running", 1),
    "eta in the past": ([published(T, eta_us=NOW_US - 1)], "queued", 0),
    "started without a publisher": ([started(T)], "running", 1),
    "succeeded alone": ([succeeded(T)], "succeeded", 1),
    "started after the end": ([succeeded(T, 1), started(T, 9)], "succeeded", 1),
    "waits for its second attempt": ([started(T), retrying(T)], "retrying", 1),
    "received again": ([retrying(T), received(T, attempt=2)], "retrying", 1),
    "second attempt runs": ([retrying(T), started(T, attempt=2)], "running", 2),
    "second attempt failed": ([retrying(T), failed(T, attempt=2)], "failed", 2),
    "late first failure": ([succeeded(T, 9, attempt=2), failed(T, 1)], "succeeded", 2),
    "worker lost": ([started(T), lost(T)], "lost", 1),
    "lost but ended": ([lost(T, 1), failed(T, 9)], "failed", 1),
    "cancelled in the queue": ([published(T), cancelled(T)], "cancelled", 0),
    "cancelled while it waits to retry": ([retrying(T), cancelled(T, attempt=2)], "cancelled", 1),
    "cancel came too late": ([succeeded(T, 5), cancelled(T, 1)], "succeeded", 1),
    "failed and succeeded": ([failed(T, 1), succeeded(T, 9)], "succeeded", 1),
    "failed and cancelled": ([cancelled(T, 1), failed(T, 9)], "failed", 1),
}


@pytest.mark.parametrize(("events", "state", "attempt"), CASES.values(), ids=CASES)
def test_state_follows_from_the_facts(events, state, attempt):
    task = derive(fold(events))
    assert (task.state, task.attempt) == (TaskState(state), attempt)


@pytest.mark.parametrize(
    ("events", "conflicting"),
    [
        ([failed(T), succeeded(T)], True),
        ([cancelled(T), succeeded(T)], True),
        ([retrying(T), succeeded(T)], True),
        ([lost(T), succeeded(T)], False),
        ([succeeded(T, 1), succeeded(T, 9)], False),
        ([retrying(T), succeeded(T, attempt=2)], False),
    ],
)
def test_two_outcomes_of_one_attempt_are_flagged(events, conflicting):
    facts = fold(events)
    assert derive(facts).conflicting is conflicting
    assert is_conflicting(facts, 1) is conflicting


def test_an_attempt_that_is_retried_was_not_lost():
    assert attempt_state(fold([lost(T), retrying(T)]), 1) is TaskState.RETRYING


def test_waiting_time_counts_from_being_due():
    task = derive(fold([published(T, 0, eta_us=NOW_US + 50), started(T, 80)]))
    assert task.wait_us == 30


def test_waiting_time_comes_from_the_stamp_of_a_publisher_not_heard_yet():
    assert derive(fold([started(T, 80, published_us=NOW_US + 10)])).wait_us == 70


def test_waiting_time_of_a_retry_counts_from_its_due_time():
    events = [retrying(T, 10, next_us=NOW_US + 100), started(T, 130, attempt=2)]
    assert derive(fold(events)).wait_us == 30


def test_waiting_time_that_clocks_make_negative_is_unknown():
    assert derive(fold([published(T, 90), started(T, 10)])).wait_us is None


def test_error_of_the_attempt_before_is_shown_while_the_next_runs():
    words = Dictionary()
    task = derive(fold([retrying(T), started(T, attempt=2)], words))
    assert words.words[task.exception] == "TimeoutError"
    assert task.error == key_of(1, Kind.RETRYING)


def test_error_is_gone_when_the_task_went_well():
    assert derive(fold([retrying(T), succeeded(T, attempt=2)])).exception == 0


def test_many_attempts_keep_the_first_and_the_newest():
    facts = fold([retrying(T, attempt=n) for n in range(1, 101)])
    assert len(facts) == KEPT_ATTEMPTS + 1
    assert derive(facts).attempt == 100


KNOWN = fold([published(T, 5), started(T, 6), succeeded(T, 7)])
RUNNING = fold([published(T, 5), started(T, 6)])
UNSTAMPED = fold([started(T, 6), succeeded(T, 7)])


@pytest.mark.parametrize(
    ("event", "known", "generation"),
    [
        (published(T, 50), [], 1),
        (published(T, 50), [(1, KNOWN)], 2),
        (published(T, 5), [(1, KNOWN)], 1),
        (published(T, 50), [(1, RUNNING)], 1),
        (published(T, 50), [(1, UNSTAMPED)], 1),
        (published(T, 50, attempt=2), [(1, KNOWN)], 1),
        (started(T, 60, published_us=NOW_US + 50), [(1, KNOWN)], 2),
        (started(T, 60, published_us=NOW_US + 5), [(2, RUNNING | KNOWN), (1, KNOWN)], 2),
        (started(T, 60), [(1, KNOWN)], 1),
        (published(T, 5), [(2, fold([published(T, 50)])), (1, KNOWN)], 1),
    ],
)
def test_generation_opens_only_for_another_publication_after_the_end(event, known, generation):
    assert generation_of(fact_of(event, Dictionary()), known) == generation


lists_of_events = st.lists(events_of([T]), min_size=1, max_size=12)


@given(lists_of_events, st.data())
def test_p1_order_and_repetition_change_nothing(events, data):
    repeated = data.draw(st.lists(st.sampled_from(events)))
    shuffled = data.draw(st.permutations(events + repeated))
    assert visible(shuffled) == visible(events)


@given(st.lists(events_of([T], attempts=40), max_size=60))
def test_merging_loses_no_fact(events):
    facts, left_over = {}, set()
    words = Dictionary()
    reported = [fact_of(event, words) for event in events]
    for fact in reported:
        left_over.update(merge(facts, fact))
    assert left_over | {as_reported(fact) for fact in facts.values()} == set(reported)


def test_a_start_of_an_attempt_long_past_is_left_over_as_it_was_reported():
    facts, words = {}, Dictionary()
    first, again = (fact_of(started(T, at, 2), words) for at in (2, 5))
    assert [*merge(facts, first), *merge(facts, again)] == [again]
    assert merge(facts, fact_of(started(T, 9, 2 + KEPT_ATTEMPTS), words)) == [first]


@given(lists_of_events, lists_of_events)
def test_p2_merging_two_sets_of_facts_is_the_set_of_both(left, right):
    words = Dictionary()
    whole = fold(left + right, words)
    joined = fold(left, words)
    for fact in fold(right, words).values():
        merge(joined, fact)
    assert joined == whole
    assert all(merge(joined, fact) == [fact] for fact in whole.values())


def checked(verdict, at=5, about_us=NOW_US + 2, attempt=1):
    return TaskChecked(NOW_US + at, SOURCE, T, attempt, verdict, about_us, "said so", "w1@host")


CHECKS = {
    "lost": ([started(T), checked(Verdict.LOST)], "lost"),
    "ended, as the engine says": ([started(T), checked(Verdict.SUCCEEDED)], "succeeded"),
    "failed, as the engine says": ([started(T), checked(Verdict.FAILED)], "failed"),
    "still runs": ([started(T), checked(Verdict.RUNNING)], "running"),
    "not known": ([started(T), checked(Verdict.UNKNOWN)], "running"),
    "lost, then seen again": (
        [started(T), checked(Verdict.LOST, 5), checked(Verdict.RUNNING, 9)], "running"
    ),
    "seen, then lost": (
        [started(T), checked(Verdict.RUNNING, 5), checked(Verdict.LOST, 9)], "lost"
    ),
    "lost, but it succeeded": ([started(T), checked(Verdict.LOST), succeeded(T, 99)], "succeeded"),
    "lost, but it failed before": ([started(T), failed(T, 3), checked(Verdict.LOST)], "failed"),
    "as its own worker said": ([started(T), lost(T, 3), checked(Verdict.SUCCEEDED)], "lost"),
    "lost, then delivered again": (
        [started(T), checked(Verdict.LOST), started(T, 9, worker="w2@host")], "running"
    ),
    "delivered again, then lost": (
        [started(T), started(T, 9, worker="w2@host"), checked(Verdict.LOST, 10, NOW_US + 9)],
        "lost",
    ),
    "lost, then tried again": (
        [started(T), checked(Verdict.LOST), started(T, 9, attempt=2)], "running"
    ),
    "will be tried again": ([started(T), retrying(T, 3), checked(Verdict.LOST)], "retrying"),
    "the message of a waiting one is there": (
        [published(T), checked(Verdict.WAITING, about_us=0)], "queued"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "state"), CHECKS.values(), ids=CHECKS)
def test_what_was_concluded_is_weaker_than_any_report(events, state):
    for order in (events, events[::-1], events[1:] + events[:1]):
        seen = derive(fold(order))
        assert (seen.state, seen.conflicting) == (state, False)
    assert attempt_state(fold(events), max(event.attempt for event in events)) == seen.state


def test_a_concluded_loss_says_why_and_when():
    facts = fold([started(T), checked(Verdict.LOST, 7)])
    seen = derive(facts)
    assert seen.finished_us == NOW_US + 7
    assert facts[seen.error].text == "said so"


def rank(events):
    """What may only grow: the deciding attempt, and the rank inside it."""
    facts = fold(events)
    retried = [key + 16 for key in facts if key & 15 == Kind.RETRYING]
    current = max([*facts, *retried]) >> 4
    return current, max([key & 15 for key in facts if key >> 4 == current], default=0)


@given(lists_of_events, events_of([T]))
def test_p3_attempt_and_rank_never_go_back(events, another):
    assert rank([*events, another]) >= rank(events)


@given(lists_of_events, events_of([T], attempts=1))
def test_p3_final_state_gives_way_only_to_a_stronger_one(events, another):
    before = derive(fold(events))
    after = derive(fold([*events, another]))
    if before.state in FINAL_STATES and not isinstance(another, wire.TaskRetrying):
        order = ["lost", "cancelled", "failed", "succeeded"]
        assert order.index(after.state) >= order.index(before.state)


def shifted(event: wire.TaskEvent, by: int) -> wire.TaskEvent:
    """The event as a process would have reported it whose clock differs."""
    fields = {"at_us": event.at_us + by}
    for name in ("eta_us", "next_us"):
        if getattr(event, name, 0):
            fields[name] = getattr(event, name) + by
    return msgspec.structs.replace(event, **fields)


@given(lists_of_events, st.integers(-NOW_US // 2, 10**12), st.integers(-NOW_US // 2, 10**12))
def test_p4_clocks_that_differ_do_not_change_the_state(events, publishers, workers):
    moved = [
        shifted(event, publishers if isinstance(event, wire.TaskPublished) else workers)
        for event in events
    ]
    assert derive(fold(moved)).state is derive(fold(events)).state


@given(st.lists(events_of([T], attempts=1), min_size=1, max_size=8))
def test_the_fast_way_for_one_attempt_says_the_same(events):
    facts = fold(events)
    assert derive(facts) == derive_any(facts)


@given(lists_of_events)
def test_p5_every_value_shown_was_reported(events):
    words = Dictionary()
    task = derive(fold(events, words))
    assert task.seen_us in {event.at_us for event in events}
    assert task.started_us in {None} | {e.at_us for e in events if isinstance(e, wire.TaskStarted)}
    assert words.words[task.name] in {""} | {event.name for event in events}
    assert words.words[task.worker] in {""} | {getattr(e, "worker", "") for e in events}
    assert task.published_us in {None} | {e.at_us for e in events} | {
        getattr(e, "published_us", None) for e in events
    }


@given(lists_of_events)
def test_p8_durations_are_not_negative(events):
    task = derive(fold(events))
    assert task.wait_us is None or task.wait_us >= 0
    assert task.run_us is None or task.run_us >= 0
