# SPDX-License-Identifier: AGPL-3.0-only
"""The demo says what disagrees between those who sent, ran and stored tasks."""

import msgspec
import pytest

from queuedeck.demo.tally import Tally, disagreements, report

AGREE = Tally(
    sent=frozenset("abcde"),
    ran=frozenset("abcde"),
    succeeded=frozenset("abd"),
    failed=frozenset("c"),
    stored={"a": "succeeded", "b": "succeeded", "c": "failed", "d": "succeeded", "e": "cancelled"},
    cancelled=frozenset("e"),
    retried=frozenset("d"),
    commands={"done": 2},
    events_received=20,
    events_lost=0,
)


def test_counts_that_agree_have_nothing_to_say():
    assert disagreements(AGREE) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sent": frozenset("abcdef")}, "1 tasks were sent but not stored by the server: f."),
        ({"sent": frozenset("abce")}, "1 tasks were stored by the server but not sent: d."),
        ({"ran": frozenset("abde")}, "1 tasks were sent but not run: c."),
        ({"ran": frozenset("abcdex")}, "1 tasks were run but not sent: x."),
        (
            {"cancelled": frozenset()},
            "1 tasks were stored as cancelled but not cancelled by a command: e.",
        ),
        (
            {"cancelled": frozenset("de")},
            "1 tasks were cancelled by a command but not stored as cancelled: d.",
        ),
        ({"succeeded": frozenset("ab")}, "1 tasks were stored as succeeded but not succeeded: d."),
        ({"failed": frozenset()}, "1 tasks were stored as failed but not failed: c."),
        ({"events_lost": 3}, "3 events were lost."),
        ({"retried": frozenset()}, "No retry was done."),
        ({"retried": frozenset("z")}, "No retry was done."),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_disagreement_is_said(change, said):
    assert said in disagreements(msgspec.structs.replace(AGREE, **change))


def test_cancelled_task_must_have_begun_to_run():
    changed = msgspec.structs.replace(AGREE, ran=frozenset("abcd"))
    assert disagreements(changed) == ["1 tasks were sent but not run: e."]


def test_cancelled_task_that_ran_to_its_end_all_the_same_is_said():
    changed = msgspec.structs.replace(AGREE, succeeded=frozenset("abde"))
    assert disagreements(changed) == ["1 tasks were succeeded but not stored as succeeded: e."]


def test_report_has_the_agreed_form():
    assert report(AGREE) == {
        "sent": {"celery": 5},
        "ran": {"celery": 5},
        "stored": {"celery": 5},
        "tasks": {"celery": {"cancelled": 1, "failed": 1, "succeeded": 3}},
        "commands": {"done": 2, "failed": 0},
        "retries_done": 1,
        "events_received": 20,
        "events_lost": 0,
    }
