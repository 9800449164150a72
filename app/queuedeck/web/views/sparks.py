# SPDX-License-Identifier: AGPL-3.0-only
"""Small areas without a scale, of values some of which nobody knows. Pure."""

from collections.abc import Sequence

HEIGHT = 24


def spark_of_known(values: Sequence[int | None]) -> str:
    """A path in a box of `len(values)` by `HEIGHT`: an area for each stretch of known values, a
    gap where there is none; empty when there is nothing to see.
    """
    top = max((one for one in values if one is not None), default=0)
    if not top:
        return ""
    path: list[str] = []
    for at, number in enumerate(values):
        if number is None:
            continue
        y = HEIGHT - 1 - number / top * (HEIGHT - 4)
        starts = at == 0 or values[at - 1] is None
        path.append(f"M{at} {HEIGHT}V{y:.1f}h1" if starts else f"L{at} {y:.1f}h1")
        if at + 1 == len(values) or values[at + 1] is None:
            path.append(f"V{HEIGHT}")
    return "".join(path)
