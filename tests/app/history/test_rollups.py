# SPDX-License-Identifier: AGPL-3.0-only
"""What tasks contribute to the counts, whatever the order, repetition and grouping of reports."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.support.history_events import (
    NOW_US,
    Dictionary,
    events_of,
    failed,
    published,
    received,
    retrying,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.clock import MINUTE_US
from queuedeck.history.derive import derive
from queuedeck.history.facts import Kind, Word, fact_of
from queuedeck.history.rollups import ARRIVED, UNKNOWN, Contribution, contributions, differences
from queuedeck.history.states import merge

TASK = uuid_of("one")
NOW = NOW_US // MINUTE_US


def facts_of(events, intern=None):
    facts, intern = {}, intern or Dictionary()
    for event in events:
        merge(facts, fact_of(event, intern))
    return facts


def counted(groups, intern):
    """The sum of what each group adds and takes away."""
    total, facts = Counter(), {}
    for group in groups:
        before = dict(facts)
        for event in group:
            merge(facts, fact_of(event, intern))
        for sign, one in differences(before, facts, derive(facts)):
            total[one] += sign
    assert min(total.values(), default=0) >= 0
    return Counter({one: n for one, n in total.items() if n})


def model(events, intern):
    return Counter(contributions(facts_of(events, intern)).values())


@st.composite
def groupings(draw):
    """Events, and the same again: shuffled, some repeated, cut into groups."""
    events = draw(st.lists(events_of([TASK], draw(st.sampled_from([1, 1, 6]))), min_size=1))
    more = draw(st.lists(st.sampled_from(events), max_size=5))
    order = draw(st.permutations([*events, *more]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=6)))
    bounds = [0, *cuts, len(order)]
    groups = [order[a:b] for a, b in pairwise(bounds) if a < b]
    return events, groups


@given(groupings())
def test_any_order_repetition_and_grouping_counts_what_the_facts_say(grouping):
    events, groups = grouping
    intern = Dictionary()
    expected = model(events, intern)
    assert counted(groups, intern) == expected


def test_a_plain_task_arrives_and_ends():
    life = [
        published(TASK, 0),
        received(TASK, 1),
        started(TASK, 2 * MINUTE_US, release="v7"),
        succeeded(TASK, 3 * MINUTE_US, run_us=9),
    ]
    intern = Dictionary()
    found = model(life, intern)
    words = {
        "task": intern(Word.NAME, "app.mail.send"),
        "queue": intern(Word.QUEUE, "mail"),
    }
    assert found == Counter(
        {
            Contribution(NOW, ARRIVED, **words, release=0, worker=0, wait_us=-1, run_us=-1): 1,
            Contribution(
                NOW + 3,
                int(Kind.SUCCEEDED),
                **words,
                release=intern(Word.RELEASE, "v7"),
                worker=intern(Word.WORKER, "w1@host"),
                wait_us=2 * MINUTE_US,
                run_us=9,
            ): 1,
        }
    )


def test_each_attempt_counts_with_its_own_wait_and_run():
    life = [
        published(TASK, 0),
        started(TASK, 5),
        retrying(TASK, 10, run_us=4, next_us=NOW_US + 100),
        started(TASK, 130, attempt=2),
        failed(TASK, 150, attempt=2, run_us=20),
    ]
    ended = [one for one in contributions(facts_of(life)).values() if one.outcome != ARRIVED]
    assert [(one.outcome, one.wait_us, one.run_us) for one in ended] == [
        (Kind.RETRYING, 5, 4),
        (Kind.FAILED, 30, 20),
    ]


def test_a_task_that_nobody_saw_start_has_no_wait():
    (one,) = contributions(facts_of([succeeded(TASK, run_us=-1)])).values()
    assert (one.wait_us, one.run_us) == (UNKNOWN, UNKNOWN)


def test_a_later_report_that_wins_takes_the_first_outcome_back():
    before = facts_of([failed(TASK, 3)])
    after = facts_of([failed(TASK, 3), succeeded(TASK, 4)])
    signed = {(sign, one.outcome) for sign, one in differences(before, after, derive(after))}
    assert signed == {(-1, Kind.FAILED), (1, Kind.SUCCEEDED)}


def test_attempts_whose_facts_were_dropped_stay_counted():
    life = [retrying(TASK, n, attempt=n) for n in range(1, 31)]
    total = counted(([event] for event in life), Dictionary())
    assert sum(total.values()) == 30
