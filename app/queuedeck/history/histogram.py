# SPDX-License-Identifier: AGPL-3.0-only
"""Durations counted in log-linear buckets: 16 for each doubling, so a value read back is at most
1/32 (3.2 %) off. Adding histograms is exact: the order and the grouping do not matter. Pure.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat

SUB_BITS = 4
"""2 ** 4 buckets for each doubling."""
_SHIFT = SUB_BITS + 1
LARGEST = (1 << 47) - 1
"""Four years in microseconds. What is longer counts as this long."""
BUCKETS = (47 - _SHIFT << SUB_BITS) + (LARGEST >> 47 - _SHIFT) + 1

Histogram = dict[int, int]
"""Bucket -> count. Only buckets that were touched."""

_WIDTHS = ((1 << 8, "B", 1), (1 << 16, "H", 2), (1 << 32, "I", 4), (1 << 64, "Q", 8))
_DENSE = 0x80
_LANE = 8
_CODES = {size: code for _, code, size in _WIDTHS}


def bucket_of(value: int) -> int:
    """The bucket of a duration. Below 32 each value has its own."""
    if value < 1 << _SHIFT:
        return value if value > 0 else 0
    shift = (value if value < LARGEST else LARGEST).bit_length() - _SHIFT
    return (shift << SUB_BITS) + ((value if value < LARGEST else LARGEST) >> shift)


def value_of(bucket: int) -> int:
    """The middle of a bucket: the duration it is read back as."""
    if bucket < 1 << _SHIFT:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    low = (bucket - (shift << SUB_BITS)) << shift
    return low + (1 << shift - 1)


def histogram_of(values: Iterable[int]) -> Histogram:
    made: Histogram = {}
    for value in values:
        bucket = bucket_of(value)
        made[bucket] = made.get(bucket, 0) + 1
    return made


def merge_into(total: Histogram, other: Histogram) -> None:
    """Add in place. Counts may be negative: that takes away. Empty buckets are dropped."""
    for bucket, count in other.items():
        left = total.get(bucket, 0) + count
        if left:
            total[bucket] = left
        else:
            total.pop(bucket, None)


class Sum:
    """Many stored histograms added up, for reading: one long integer, 64 bits for each bucket, so
    that adding two histograms is one addition. Those with few buckets are added bucket by bucket.
    """

    def __init__(self) -> None:
        self._total = 0
        self._few: Histogram = {}

    def add(self, stored: bytes) -> None:
        """Add one as `pack` made it."""
        if not stored:
            return
        if stored[0] & _DENSE:
            size, first = stored[0] & ~_DENSE, int.from_bytes(stored[1:3], "little")
            counts = stored[3:]
            wide = bytearray(len(counts) // size * _LANE)
            for byte in range(size):
                wide[byte::_LANE] = counts[byte::size]
            self._total += int.from_bytes(wide, "little") << 8 * _LANE * first
        else:
            few = self._few
            for bucket, number in zip(*_unpack_sparse(stored), strict=True):
                few[bucket] = few.get(bucket, 0) + number

    def add_all(self, other: "Sum") -> None:
        self._total += other._total
        merge_into(self._few, other._few)

    def histogram(self) -> Histogram:
        return {bucket: count for bucket, count in enumerate(self._counts()) if count}

    def quantiles(self, shares: Sequence[float]) -> tuple[int, list[int | None]]:
        """How many values there are, and those below which these shares lie, in the order of
        `shares`; None when there are none. The q-quantile of n values is the ceil(q * n)-th
        smallest.
        """
        reached = list(accumulate(self._counts()))
        if not reached:
            return 0, [None] * len(shares)
        total = reached[-1]
        ranks = (max(1, -int(-share * total // 1)) for share in shares)
        return total, [value_of(bisect_left(reached, rank)) for rank in ranks]

    def _counts(self) -> "array[int]":
        """Of each bucket up to the last that is not empty."""
        lanes = max(-(-self._total.bit_length() // (8 * _LANE)), max(self._few, default=-1) + 1)
        counts = _little(array("Q", self._total.to_bytes(lanes * _LANE, "little")))
        for bucket, number in self._few.items():
            counts[bucket] += number
        return counts


def pack(histogram: Histogram) -> bytes:
    """The shorter of two forms: buckets and counts, or all counts from the first to the last."""
    buckets = sorted(histogram)
    counts = [histogram[bucket] for bucket in buckets]
    if not counts:
        return b""
    if min(counts) <= 0:  # Taken away from what is not there any more.
        return pack({bucket: count for bucket, count in histogram.items() if count > 0})
    code, size = _width(max(counts))
    first, span = buckets[0], buckets[-1] - buckets[0] + 1
    if 3 + span * size < 1 + len(buckets) * (2 + size):
        dense = array(code, map(histogram.get, range(first, first + span), repeat(0)))
        return bytes((_DENSE | size,)) + first.to_bytes(2, "little") + _little(dense).tobytes()
    sparse = _little(array("H", buckets)).tobytes()
    return bytes((size,)) + sparse + _little(array(code, counts)).tobytes()


def unpack(stored: bytes) -> Histogram:
    if not stored:
        return {}
    if stored[0] & _DENSE:
        first, counts = _unpack_dense(stored)
        return {first + n: count for n, count in enumerate(counts) if count}
    return dict(zip(*_unpack_sparse(stored), strict=True))


def _unpack_dense(stored: bytes) -> "tuple[int, array[int]]":
    return int.from_bytes(stored[1:3], "little"), _read(stored[0] & ~_DENSE, stored[3:])


def _unpack_sparse(stored: bytes) -> "tuple[array[int], array[int]]":
    size = stored[0]
    middle = 1 + (len(stored) - 1) // (2 + size) * 2
    return _read(2, stored[1:middle]), _read(size, stored[middle:])


def _read(size: int, data: bytes) -> "array[int]":
    return _little(array(_CODES[size], data))


def _little(numbers: "array[int]") -> "array[int]":
    """On disk the smallest byte comes first, on every machine."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _width(largest: int) -> tuple[str, int]:
    return next((code, size) for below, code, size in _WIDTHS if largest < below)
