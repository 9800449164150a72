# SPDX-License-Identifier: AGPL-3.0-only
"""The lanes of a group: which records are new, where each lane stands, what was lost or spoilt."""

import json
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec

from queuedeck.history.batches import Batch, Poison
from queuedeck.history.facts import TaskChecked
from queuedeck.history.sql.database import Database
from queuedeck_agent import wire

KEPT_RAW_BYTES = 4096
"""So much of a spoilt record is kept."""
KEPT_SPOILT = 1000
"""So many spoilt records of a project are kept; all are counted."""


_OTHERS = frozenset({Poison, wire.Loss, wire.CommandDone, wire.CommandFailed})
"""Records that are neither about tasks nor about sources."""


class Counts(msgspec.Struct):
    """What a group adds to the counters of one project."""

    events: int = 0
    lost: int = 0
    quarantined: int = 0
    newest_us: int | None = None


class Lanes:
    """Reads the lanes of a group once, hands out what is new, and writes the lanes back."""

    def __init__(self, db: Database, group: Sequence[Batch], now_us: int) -> None:
        self._db = db
        self._now_us = now_us
        self._lanes = _read(db, {batch.lane for batch in group})
        self._moved: dict[str, tuple[str, int, int, str, int]] = {}
        self._losses: list[tuple[object, ...]] = []
        self._spoilt: list[tuple[object, ...]] = []
        self.committed: dict[str, int] = {}
        self._refused: set[tuple[int, str]] = set()
        self._early: set[str] = set()
        self._counts: dict[int, Counts] = {}

    def new_events(self, batch: Batch) -> Iterator[wire.TaskEvent | wire.SourceSeen]:
        """The records of a batch that are not stored yet and that are about tasks or sources."""
        owner, committed = self._lanes.get(batch.lane, (batch.project_id, 0))
        if owner != batch.project_id:
            self._refused.add((batch.project_id, batch.lane))
            return
        if batch.first > committed + 1:
            self._lanes.setdefault(batch.lane, (batch.project_id, 0))
            self._early.add(batch.lane)
            return
        counts = self._counts.setdefault(batch.project_id, Counts())
        if batch.first > committed and _OTHERS.isdisjoint(map(type, batch.events)):
            counts.events += len(batch.events)
            yield from cast("list[wire.TaskEvent | wire.SourceSeen]", batch.events)
        else:
            yield from self._sort_out(batch, committed, counts)
        self._move(batch, max(committed, batch.last))

    def _sort_out(
        self, batch: Batch, committed: int, counts: Counts
    ) -> Iterator[wire.TaskEvent | wire.SourceSeen]:
        """For a batch of which part is stored already, or that has other records as well."""
        number = batch.first - 1
        for event in batch.events:
            number += numbers_of(event)
            if number <= committed:
                continue
            if isinstance(event, wire.TaskEvent | wire.SourceSeen):
                counts.events += 1
                yield event
            else:
                self._keep(batch, event, number, committed, counts)

    def note_time(self, project_id: int, at_us: int) -> None:
        """Tell when an event of the project happened."""
        counts = self._counts[project_id]
        if counts.newest_us is None or at_us > counts.newest_us:
            counts.newest_us = at_us

    def _keep(
        self,
        batch: Batch,
        event: wire.AnyEvent | TaskChecked | Poison,
        number: int,
        committed: int,
        counts: Counts,
    ) -> None:
        who = (batch.project_id, batch.agent_id, batch.lane, number)
        match event:
            case Poison():
                counts.quarantined += event.numbers
                raw = event.raw[:KEPT_RAW_BYTES]
                self._spoilt.append((*who, self._now_us, len(event.raw), raw, event.error))
            case wire.Loss():
                # A loss that an agent widened after part of it was stored counts for the rest.
                count = min(event.count, number - committed)
                counts.lost += count
                kinds = json.dumps(event.kinds, sort_keys=True)
                self._losses.append((*who, count, event.at_us, kinds, event.reason))
            case _:
                counts.events += 1

    def _move(self, batch: Batch, committed: int) -> None:
        self._lanes[batch.lane] = (batch.project_id, committed)
        self.committed[batch.lane] = committed
        row = (batch.lane, batch.project_id, committed, batch.agent_id, self._now_us)
        self._moved[batch.lane] = row

    @property
    def refused(self) -> frozenset[tuple[int, str]]:
        return frozenset(self._refused)

    @property
    def expected(self) -> dict[str, int]:
        """Lanes with a batch that began too late, and where they end now."""
        return {lane: self._lanes[lane][1] for lane in self._early}

    def write(self) -> None:
        self._db.executemany(
            "INSERT INTO lane (lane, project, committed, agent, at_us) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (lane) DO UPDATE SET committed = excluded.committed,"
            " agent = excluded.agent, at_us = excluded.at_us",
            self._moved.values(),
        )
        self._write_counts()
        if self._losses:
            self._db.executemany(
                "INSERT INTO loss (project, agent, lane, last, count, at_us, kinds, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                self._losses,
            )
        if self._spoilt:
            self._write_spoilt()

    def _write_counts(self) -> None:
        self._db.executemany(
            "INSERT INTO event_count (project, events, lost, quarantined, newest_us)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (project) DO UPDATE SET"
            " events = event_count.events + excluded.events,"
            " lost = event_count.lost + excluded.lost,"
            " quarantined = event_count.quarantined + excluded.quarantined,"
            " newest_us = max(coalesce(event_count.newest_us, excluded.newest_us),"
            " coalesce(excluded.newest_us, event_count.newest_us))",
            [
                (project, one.events, one.lost, one.quarantined, one.newest_us)
                for project, one in self._counts.items()
            ],
        )

    def _write_spoilt(self) -> None:
        self._db.executemany(
            "INSERT INTO quarantine (project, agent, lane, number, at_us, size, raw, error)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            self._spoilt,
        )
        for project in {row[0] for row in self._spoilt}:
            self._db.execute(
                "DELETE FROM quarantine WHERE project = ? AND id <= (SELECT id FROM quarantine"
                " WHERE project = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (project, project, KEPT_SPOILT),
            )


def numbers_of(event: wire.AnyEvent | TaskChecked | Poison) -> int:
    """For how many numbers of its lane a record stands."""
    match event:
        case wire.Loss():
            return event.count
        case Poison():
            return event.numbers
        case _:
            return 1


def committed_lanes(db: Database, project_id: int, lanes: Sequence[str]) -> dict[str, int]:
    """The last stored number of each lane of the project; 0 for lanes never seen."""
    known = _read(db, set(lanes))
    found = {lane: known.get(lane, (project_id, 0)) for lane in lanes}
    return {lane: number for lane, (owner, number) in found.items() if owner == project_id}


def _read(db: Database, lanes: set[str]) -> dict[str, tuple[int, int]]:
    rows = db.execute(
        f"SELECT l.lane, l.project, l.committed FROM {db.dialect.TEXTS}"  # noqa: S608
        " CROSS JOIN lane AS l ON l.lane = j.value",
        (db.dialect.listed(sorted(lanes)),),
    )
    return {lane: (project, committed) for lane, project, committed in rows}
