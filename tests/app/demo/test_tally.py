# SPDX-License-Identifier: AGPL-3.0-only
"""The demo says what disagrees between those who sent, ran and stored tasks."""

import msgspec
import pytest

from queuedeck.demo.tally import Counts, Tally, disagreements, report

CELERY = Counts(
    sent=frozenset("abcde"),
    ran=frozenset("abcde"),
    ran_again=frozenset("ab"),
    succeeded=frozenset("abd"),
    failed=frozenset("c"),
    stored={"a": "succeeded", "b": "succeeded", "c": "failed", "d": "succeeded", "e": "cancelled"},
    cancelled=frozenset("e"),
    retried=frozenset("d"),
    attempted_again=frozenset("ab"),
    retried_as={"c": "d"},
)
RQ = Counts(
    sent=frozenset("xy"),
    ran=frozenset("xy"),
    ran_again=frozenset("x"),
    succeeded=frozenset("x"),
    failed=frozenset("y"),
    stored={"x": "succeeded", "y": "failed"},
    cancelled=frozenset(),
    retried=frozenset(),
    attempted_again=frozenset("x"),
    retried_as={},
)
AGREE = Tally(
    engines={"celery": CELERY, "rq": RQ},
    missing=("huey",),
    commands={"done": 2},
    events_received=20,
    events_lost=0,
)


def with_celery(**changes):
    """Celery's counts are changed, those of RQ stay."""
    changed = msgspec.structs.replace(CELERY, **changes)
    return msgspec.structs.replace(AGREE, engines={"celery": changed, "rq": RQ})


def test_counts_that_agree_have_nothing_to_say():
    assert disagreements(AGREE) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sent": frozenset("abcdef")}, "1 tasks were sent but not stored by the server: f."),
        ({"sent": frozenset("abce")}, "1 tasks were stored by the server but not sent: d."),
        ({"sent": frozenset()}, "Nothing was sent."),
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
        (
            {"ran_again": frozenset("a")},
            "1 tasks were stored with several attempts but not run again: b.",
        ),
        (
            {"attempted_again": frozenset("a")},
            "1 tasks were run again but not stored with several attempts: b.",
        ),
        ({"retried_as": {}}, "1 tasks were retried but not stored as a retry: d."),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_disagreement_is_said_with_its_engine(change, said):
    assert f"celery: {said}" in disagreements(with_celery(**change))


def test_lost_events_are_said():
    changed = msgspec.structs.replace(AGREE, events_lost=3)
    assert disagreements(changed) == ["3 events were lost."]


@pytest.mark.parametrize("retried", ["", "z"], ids=["none", "not run"])
def test_run_without_a_retry_is_said(retried):
    changed = with_celery(retried=frozenset(retried), retried_as=dict.fromkeys(retried, retried))
    assert disagreements(changed) == ["No retry was done."]


def test_cancelled_task_must_have_begun_to_run():
    changed = with_celery(ran=frozenset("abcd"))
    assert disagreements(changed) == ["celery: 1 tasks were sent but not run: e."]


def test_cancelled_task_that_ran_to_its_end_all_the_same_is_said():
    changed = with_celery(succeeded=frozenset("abde"))
    assert disagreements(changed) == [
        "celery: 1 tasks were succeeded but not stored as succeeded: e."
    ]


def test_report_has_the_agreed_form():
    assert report(AGREE) == {
        "engines": {
            "celery": {
                "sent": 5,
                "ran": 5,
                "stored": 5,
                "succeeded": 3,
                "failed": 1,
                "cancelled": 1,
                "retried": 3,
            },
            "rq": {
                "sent": 2,
                "ran": 2,
                "stored": 2,
                "succeeded": 1,
                "failed": 1,
                "cancelled": 0,
                "retried": 1,
            },
        },
        "total": {
            "sent": 7,
            "ran": 7,
            "stored": 7,
            "succeeded": 4,
            "failed": 2,
            "cancelled": 1,
            "retried": 4,
        },
        "engines_missing": ["huey"],
        "sent": {"celery": 5, "rq": 2},
        "ran": {"celery": 5, "rq": 2},
        "stored": {"celery": 5, "rq": 2},
        "tasks": {
            "celery": {"cancelled": 1, "failed": 1, "succeeded": 3},
            "rq": {"failed": 1, "succeeded": 1},
        },
        "commands": {"done": 2, "failed": 0},
        "retries_done": 1,
        "events_received": 20,
        "events_lost": 0,
    }
