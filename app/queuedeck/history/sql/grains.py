# SPDX-License-Identifier: AGPL-3.0-only
"""The tables of rollups: what lengths of time their rows are of, which of them events are added to,
and which are summed up later, from those. No writing here.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.rollups import KEPT_DAYS
from queuedeck.history.sql.database import Database

DAY_MINUTES = DAY_US // MINUTE_US
AHEAD_DAYS = 14
"""A clock that is further ahead is not believed, and not counted."""


class Grain(NamedTuple):
    table: str
    minutes: int
    kept_days: int
    every: int = 0
    """Not 0: events are not added to it while they are new. Once so many minutes are over, their
    finer rows are added to it; events that come later are added here too.
    """

    @property
    def us(self) -> int:
        return self.minutes * MINUTE_US

    @property
    def is_summed(self) -> bool:
        return self.every > 0


GRAINS = (
    Grain("roll_minute", 1, 14),
    Grain("roll_quarter", 15, 14, every=15),
    Grain("roll_hour", 60, KEPT_DAYS),
    Grain("roll_six_hours", 360, KEPT_DAYS, every=60),
    Grain("roll_day", DAY_MINUTES, KEPT_DAYS, every=60),
    Grain("roll_four_days", 4 * DAY_MINUTES, KEPT_DAYS, every=DAY_MINUTES),
)
"""Finest first. Each is a whole number of the one before it."""

WRITTEN = tuple(grain for grain in GRAINS if not grain.is_summed)
SUMMED = tuple(grain for grain in GRAINS if grain.is_summed)


def parts_of(grain: Grain) -> Grain:
    """The rows that a summed grain is made of: the next finer ones that events are added to."""
    return next(one for one in reversed(WRITTEN) if one.minutes < grain.minutes)


def _tables(grains: Sequence[Grain]) -> str:
    return "".join(
        f"""
CREATE TABLE {grain.table} (
  project INTEGER NOT NULL, subject INTEGER NOT NULL, at INTEGER NOT NULL,
  outcome INTEGER NOT NULL, source INTEGER NOT NULL, queue INTEGER NOT NULL,
  release INTEGER NOT NULL, n INTEGER NOT NULL, run_us INTEGER NOT NULL, wait BLOB NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (project, subject, at, outcome, source, queue, release)) STRICT, WITHOUT ROWID;
CREATE INDEX {grain.table}_at ON {grain.table} (project, at);
"""
        for grain in grains
    )


_SUMMED_UNTIL = """
-- Up to which minute (the first that is not) the rows of a summed grain hold what was counted.
CREATE TABLE summed_until (
  project INTEGER NOT NULL, minutes INTEGER NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY (project, minutes)) STRICT, WITHOUT ROWID;
"""

TABLES = _tables(GRAINS) + _SUMMED_UNTIL

SUMMED_STEP = f"""
{_tables([grain for grain in SUMMED if grain.minutes != DAY_MINUTES])}{_SUMMED_UNTIL}
INSERT INTO summed_until (project, minutes, until)
  SELECT project, {DAY_MINUTES}, (max(at) + 1) * {DAY_MINUTES} FROM roll_day GROUP BY project;
"""  # noqa: S608
"""Brings along a history whose days were written with the events: they hold all that was counted,
up to the last of them. The other summed grains begin empty, and are made of the hours and minutes.
"""


class Piece(NamedTuple):
    """Rows of one grain: `at` from `low`, before `high`."""

    grain: Grain
    low: int
    high: int


def pieces(
    db: Database, project_id: int, low: int, high: int, grains: Sequence[Grain] = GRAINS
) -> list[Piece]:
    """The fewest rows that together hold the minutes from `low`, before `high`; of these grains, of
    which the finest is one that events are added to and both bounds are multiples. They must be
    read at the same moment: the newest row of a summed grain may still be growing.
    """
    until = dict(
        db.execute(
            "SELECT minutes, until FROM summed_until WHERE project = ?", (project_id,)
        ).fetchall()
    )
    return list(_cover(grains[::-1], low, high, until))


def _cover(grains: Sequence[Grain], low: int, high: int, until: dict[int, int]) -> Iterator[Piece]:
    """The coarsest rows, up to what is summed up, and finer ones before and behind them."""
    if low >= high:
        return
    grain, *finer = grains
    end = min(high, until.get(grain.minutes, 0)) if grain.is_summed else high
    first = -(-low // grain.minutes)
    if first * grain.minutes >= end:
        yield from _cover(finer, low, high, until)
        return
    yield from _cover(finer, low, first * grain.minutes, until)
    yield Piece(grain, first, -(-end // grain.minutes))
    yield from _cover(finer, end, high, until)


class Reached:
    """The writer's memory of the table `summed_until`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._until: dict[tuple[int, int], int] = {}

    def get(self, project: int, grain: Grain) -> int:
        """The first minute that the grain's rows do not hold."""
        key = (project, grain.minutes)
        known = self._until.get(key)
        if known is None:
            row = self._db.execute(
                "SELECT until FROM summed_until WHERE project = ? AND minutes = ?", key
            ).fetchone()
            known = self._until[key] = row[0] if row else 0
        return known

    def set(self, project: int, grain: Grain, until: int) -> None:
        self._db.execute(
            "INSERT INTO summed_until (project, minutes, until) VALUES (?, ?, ?)"
            " ON CONFLICT (project, minutes) DO UPDATE SET until = excluded.until",
            (project, grain.minutes, until),
        )
        self._until[project, grain.minutes] = until

    def forget(self) -> None:
        self._until.clear()


def believed(grain: Grain, now_us: int) -> tuple[int, int]:
    """The first row that is still kept, and the first that is too far ahead."""
    today = now_us // DAY_US
    first, last = today - grain.kept_days, today + AHEAD_DAYS
    return first * DAY_MINUTES // grain.minutes, last * DAY_MINUTES // grain.minutes
