# SPDX-License-Identifier: AGPL-3.0-only
"""The strip of states: what was reached, and when."""

import msgspec
import pytest

from queuedeck.history.tasks import TaskState
from queuedeck.web.views.machine import machine
from queuedeck.web.views.samples import sample_detail

NOW_US = 1_800_000_000_000_000


@pytest.fixture
def detail():
    """Failed after three attempts."""
    return sample_detail(NOW_US)


def changed(detail, attempts=None, **row):
    attempts = detail.attempts if attempts is None else attempts
    new_row = msgspec.structs.replace(detail.row, **row)
    return msgspec.structs.replace(detail, row=new_row, attempts=attempts)


def test_every_attempt_counts(detail):
    strip = machine(detail)
    assert strip.running.word == "Ran 3 times"
    assert strip.again.word == "Retried twice"
    assert strip.backoff == "backoff 21.0 s, 21.0 s"
    assert strip.to_end.text == "ran 30.0 s"


def test_reached_outcome_is_not_among_the_others(detail):
    strip = machine(detail)
    assert (strip.end.state, strip.end.reached) == ("failed", True)
    assert [other.state for other in strip.others] == ["succeeded", "cancelled", "lost"]


def test_scheduled_task_is_due_and_not_queued(detail):
    due = NOW_US + 60_000_000
    strip = machine(changed(detail, [], state=TaskState.SCHEDULED, eta_us=due))
    assert strip.scheduled.reached
    assert (strip.queued.word, strip.queued.reached) == ("Due", False)
    assert not strip.to_queued.travelled


def test_date_of_a_retry_is_no_schedule(detail):
    strip = machine(changed(detail, eta_us=NOW_US))
    assert strip.scheduled.note == "no delay"


def test_task_of_a_sender_without_agent_says_so(detail):
    strip = machine(changed(detail, published_us=None))
    assert strip.queued.note == "sent without an agent"


def test_running_task_has_no_outcome_yet(detail):
    one = [msgspec.structs.replace(detail.attempts[-1], state=TaskState.RUNNING, finished_us=None)]
    strip = machine(changed(detail, one, state=TaskState.RUNNING, finished_us=None))
    assert strip.running.word == "Running"
    assert not strip.end.reached
    assert not strip.to_end.travelled


def test_cancelled_before_it_ran_never_ran(detail):
    strip = machine(changed(detail, [], state=TaskState.CANCELLED))
    assert strip.running.note == "never"
    assert not strip.to_running.travelled
