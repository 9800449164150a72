# SPDX-License-Identifier: AGPL-3.0-only
"""Times, durations and numbers as people read them."""

import pytest

from queuedeck.web import format as shown

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, ""),
        (0, "<1 ms"),
        (999, "<1 ms"),
        (1_000, "1 ms"),
        (999_999, "999 ms"),
        (1_000_000, "1.00 s"),
        (1_249_999, "1.24 s"),
        (9_999_999, "9.99 s"),
        (10_030_000, "10.0 s"),
        (59_960_000, "59.9 s"),
        (60 * SECOND, "1 m 00 s"),
        (242 * SECOND, "4 m 02 s"),
        (3_599 * SECOND, "59 m 59 s"),
        (3_600 * SECOND, "1 h 00 m"),
        (86_399 * SECOND, "23 h 59 m"),
        (86_400 * SECOND, "1 d 00 h"),
        (187_200 * SECOND, "2 d 04 h"),
    ],
)
def test_duration_is_short_and_rounded_down(us, text):
    assert shown.duration(us) == text


@pytest.mark.parametrize(
    ("seconds_ago", "text"),
    [
        (0, "now"),
        (0.9, "now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 m ago"),
        (3_599, "59 m ago"),
        (7_200, "2 h ago"),
        (172_800, "2 d ago"),
        (-59, "in 59 s"),
        (-1_560, "in 26 m"),
    ],
)
def test_ago_says_roughly_when(seconds_ago, text):
    now = 1_800_000_000 * SECOND
    assert shown.ago(now - int(seconds_ago * SECOND), now) == text


@pytest.mark.parametrize(
    ("at_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000_123_456, "2027-01-15T08:00:00.123Z"),
        (-1_000, "1969-12-31T23:59:59.999Z"),
        (1 << 62, "1970-01-01T00:00:00"),
    ],
)
def test_iso_survives_any_clock(at_us, text):
    assert shown.iso(at_us).startswith(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (12_431, "12\u202f431"), (1_200_000, "1\u202f200\u202f000")],
)
def test_count_groups_digits(number, text):
    assert shown.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB")],
)
def test_size_names_its_unit(number, text):
    assert shown.size(number) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_joined_reads_as_a_sentence(words, text):
    assert shown.joined(words) == text


def test_growing_span_never_runs_backwards():
    assert shown.growing(2_000_000, 1_000_000).text == "<1 ms"
