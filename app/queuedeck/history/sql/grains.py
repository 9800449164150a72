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

Key = tuple[int, int, int, int, int]
"""(subject, outcome, source, queue, release): what tells the rows of one time apart."""
NONE_YET: Key = (-9, 0, 0, 0, 0)
"""Before every key."""

SUMMED_KEY = f"""
-- Of the finer rows that begin at `until`: up to which key they are in the sums too.
ALTER TABLE summed_until ADD COLUMN subject INTEGER NOT NULL DEFAULT {NONE_YET[0]};
ALTER TABLE summed_until ADD COLUMN outcome INTEGER NOT NULL DEFAULT 0;
ALTER TABLE summed_until ADD COLUMN source INTEGER NOT NULL DEFAULT 0;
ALTER TABLE summed_until ADD COLUMN queue INTEGER NOT NULL DEFAULT 0;
ALTER TABLE summed_until ADD COLUMN release INTEGER NOT NULL DEFAULT 0;
"""

TABLES = _tables(GRAINS) + _SUMMED_UNTIL + SUMMED_KEY

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
    rows = db.execute(
        "SELECT minutes, until, subject FROM summed_until WHERE project = ?", (project_id,)
    )
    until = {
        # While a time is added in several steps, the row it is added to is not read.
        minutes: reached if subject == NONE_YET[0] else reached // minutes * minutes
        for minutes, reached, subject in rows
    }
    return list(_cover(grains[::-1], low, high, until))


def _cover(grains: Sequence[Grain], low: int, high: int, until: dict[int, int]) -> Iterator[Piece]:
    """The coarsest rows, up to what is summed up, and finer ones before and behind them."""
    if low >= high:
        return
    grain, *finer = grains
    first, last, end = -(-low // grain.minutes), high // grain.minutes, high
    if grain.is_summed and (reached := until.get(grain.minutes, 0)) <= high:
        last, end = -(-reached // grain.minutes), reached  # The newest row holds no more yet.
    if first >= last:
        yield from _cover(finer, low, high, until)
        return
    yield from _cover(finer, low, first * grain.minutes, until)
    yield Piece(grain, first, last)
    yield from _cover(finer, min(end, last * grain.minutes), high, until)


class Place(NamedTuple):
    """How far the finer rows of a grain are in its sums."""

    until: int
    """The first minute of which not all rows are."""
    key: Key = NONE_YET
    """Up to this one those of that minute are."""

    def end(self, finer: Grain) -> int:
        """The first minute of which no row is."""
        return self.until if self.key == NONE_YET else self.until + finer.minutes


class Reached:
    """The writer's memory of the table `summed_until`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._places: dict[tuple[int, int], Place] = {}

    def get(self, project: int, grain: Grain) -> Place:
        key = (project, grain.minutes)
        known = self._places.get(key)
        if known is None:
            row = self._db.execute(
                "SELECT until, subject, outcome, source, queue, release FROM summed_until"
                " WHERE project = ? AND minutes = ?",
                key,
            ).fetchone()
            known = self._places[key] = Place(row[0], tuple(row[1:])) if row else Place(0)
        return known

    def set(self, project: int, grain: Grain, place: Place) -> None:
        self._db.execute(
            "INSERT INTO summed_until (project, minutes, until, subject, outcome, source, queue,"
            " release) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, minutes) DO UPDATE"
            " SET until = excluded.until, subject = excluded.subject, outcome = excluded.outcome,"
            " source = excluded.source, queue = excluded.queue, release = excluded.release",
            (project, grain.minutes, place.until, *place.key),
        )
        self._places[project, grain.minutes] = place

    def forget(self) -> None:
        self._places.clear()


def believed(grain: Grain, now_us: int) -> tuple[int, int]:
    """The first row that is still kept, and the first that is too far ahead."""
    today = now_us // DAY_US
    first, last = today - grain.kept_days, today + AHEAD_DAYS
    return first * DAY_MINUTES // grain.minutes, last * DAY_MINUTES // grain.minutes
