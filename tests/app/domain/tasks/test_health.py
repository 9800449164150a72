# SPDX-License-Identifier: AGPL-3.0-only
"""What is known of the store's health: the last attempts, and for how long they hold."""

import pytest

from queuedeck.domain.tasks.health import OVER_US, StoreHealth, Trouble

BEGAN = 1_800_000_000_000_000


class Hands:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = BEGAN

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def health(clock):
    return StoreHealth(clock)


def test_there_is_no_trouble_before_the_first_attempt(health):
    assert health.trouble() is None


def test_trouble_began_with_the_first_refusal_and_has_the_newest_reason(health, clock):
    health.note_refused("the disk is full")
    clock.now += 30_000_000
    health.note_refused("the disk is locked")
    assert health.trouble() == Trouble("the disk is locked", BEGAN)


def test_trouble_ends_with_the_first_success(health):
    health.note_refused("the disk is full")
    health.note_stored()
    assert health.trouble() is None


def test_trouble_is_over_when_nobody_has_tried_for_long(health, clock):
    health.note_refused("the disk is full")
    clock.now += OVER_US
    assert health.trouble() is not None
    clock.now += 1
    assert health.trouble() is None


def test_new_trouble_after_a_long_silence_begins_anew(health, clock):
    health.note_refused("the disk is full")
    clock.now += OVER_US + 1
    health.note_refused("the disk is full")
    assert health.trouble() == Trouble("the disk is full", clock.now)
