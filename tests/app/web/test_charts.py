# SPDX-License-Identifier: AGPL-3.0-only
"""Paths and scales of charts."""

import pytest

from queuedeck.clock import MINUTE_US, SECOND_US
from queuedeck.web.views.charts import (
    Axis,
    Series,
    columns,
    decades,
    lines,
    nice_top,
    percent,
    shares,
    short_duration,
    spark,
)

AXIS = Axis(1_800_000_000_000_000, MINUTE_US, 4)


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (2, 2), (7, 8), (9, 10), (11, 20), (42, 50), (999, 1000)]
)
def test_tops_are_round_and_not_below(value, top):
    assert nice_top(value) == top


@pytest.mark.parametrize(
    ("values", "found"),
    [([], (3, 5)), ([5], (3, 5)), ([20_000, 3_000_000], (4, 7)), ([SECOND_US], (6, 8))],
)
def test_scale_of_durations_holds_all(values, found):
    assert decades(values) == found


@pytest.mark.parametrize(
    ("us", "text"),
    [(1_000, "1 ms"), (100_000, "100 ms"), (10**7, "10 s"), (10**8, "1 m"), (10**10, "2 h")],
)
def test_axis_says_durations_in_one_figure(us, text):
    assert short_duration(us) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0001, "<0.1 %"), (0.004, "0.4 %"), (0.05, "5 %"), (1, "100 %")],
)
def test_shares_in_words(share, text):
    assert percent(share).replace("\u202f", " ") == text


def test_columns_stand_on_each_other():
    chart = columns(
        "c",
        "Outcomes",
        "per 1 m",
        [Series("ok", "Succeeded", [1, 0, 2, 0], "3"), Series("bad", "Failed", [1, 0, 0, 0], "1")],
        AXIS,
        "Nothing.",
    )
    assert chart.grid == ("2", "1", "0")
    assert chart.paths[0].d == "M20.0 100.0H230.0V50.0H20.0ZM520.0 100.0H730.0V0.0H520.0Z"
    assert chart.paths[1].d == "M20.0 50.0H230.0V0.0H20.0Z"
    assert chart.summary == "Outcomes, per 1 m: succeeded 3, failed 1"
    assert [row.cells for row in chart.rows] == [("2", "0"), ("1", "1")]


def test_lines_break_where_nothing_was_measured():
    waits = Series("l", "p95", [1_000, 100_000, None, 10_000], "1 ms")
    chart = lines("w", "Wait", "", [waits], AXIS, "None.")
    assert chart.paths[0].d == "M125.0 100.0L375.0 0.0M872.0 50.0h6"
    assert chart.grid == ("100 ms", "10 ms", "1 ms")


def test_shares_are_an_area_with_a_line():
    wrong = Series("l", "Went wrong", [0.0, 0.05, None, None], "3 %")
    chart = shares("s", "Went wrong", "", wrong, AXIS, "None.")
    assert [path.style for path in chart.paths] == ["l area", "l"]
    assert chart.paths[0].d == "M125.0 100L125.0 100.0L375.0 50.0L375.0 100Z"


def test_nothing_to_draw_says_so():
    chart = columns("c", "C", "", [Series("ok", "OK", [0] * 4, "0")], AXIS, "Nothing ended.")
    assert (chart.empty, chart.rows) == ("Nothing ended.", ())
    assert spark([0, 0]) == ""
