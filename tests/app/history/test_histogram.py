# SPDX-License-Identifier: AGPL-3.0-only
"""Histograms against exact quantiles of the same values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuedeck.history.histogram import (
    BUCKETS,
    LARGEST,
    Sum,
    bucket_of,
    histogram_of,
    merge_into,
    pack,
    unpack,
    value_of,
)

durations = st.one_of(st.integers(0, 100), st.integers(0, 10**7), st.integers(0, LARGEST))
many = st.lists(durations, min_size=1, max_size=200)
SHARES = (0.5, 0.95, 0.99, 1.0)


def summed(*parts):
    total = Sum()
    for values in parts:
        total.add(pack(histogram_of(values)))
    return total


@given(durations)
def test_value_read_back_is_at_most_a_32nd_off(value):
    assert abs(value_of(bucket_of(value)) - value) <= value / 32


@given(durations, durations)
def test_buckets_keep_the_order(one, other):
    assert (one <= other) or (bucket_of(one) >= bucket_of(other))
    assert 0 <= bucket_of(one) < BUCKETS


@pytest.mark.parametrize("value", [31, 32, 33, 63, 64, 1023, 1024, LARGEST, LARGEST + 1, 1 << 60])
def test_edges_of_buckets(value):
    assert bucket_of(value) == bucket_of(min(value, LARGEST))
    assert bucket_of(value) - bucket_of(min(value, LARGEST) - 1) in (0, 1)


def test_negative_durations_count_as_none():
    assert bucket_of(-5) == 0


@given(many)
def test_quantiles_are_those_of_the_values(values):
    ordered = sorted(values)
    exact = [ordered[math.ceil(share * len(values)) - 1] for share in SHARES]
    count, found = summed(values).quantiles(SHARES)
    assert count == len(values)
    assert all(abs(f - e) <= e / 32 for f, e in zip(found, exact, strict=True))


@given(many, many, many)
def test_merging_is_the_histogram_of_all_in_any_grouping(a, b, c):
    left, right = histogram_of(a), histogram_of(b)
    merge_into(left, histogram_of(b))
    merge_into(left, histogram_of(c))
    merge_into(right, histogram_of(c))
    merge_into(right, histogram_of(a))
    assert left == right == histogram_of(a + b + c)


@given(many, many)
def test_what_was_added_can_be_taken_away(a, b):
    total = histogram_of(a + b)
    merge_into(total, {bucket: -count for bucket, count in histogram_of(b).items()})
    assert total == histogram_of(a)


@given(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 1 << 40), max_size=80))
def test_packed_is_read_back(histogram):
    assert unpack(pack(histogram)) == histogram


@given(st.lists(many, max_size=8))
def test_sum_of_packed_ones_is_the_histogram_of_all(parts):
    total = summed(*parts)
    assert total.histogram() == histogram_of([value for part in parts for value in part])


def test_packed_is_small():
    one, thousand = histogram_of([1_234_567]), histogram_of(range(10_000, 1_010_000, 1_000))
    assert len(pack(one)) == 4
    assert len(pack(thousand)) <= 250


def test_quantiles_of_nothing_are_unknown():
    assert Sum().quantiles(SHARES) == (0, [None] * 4)
