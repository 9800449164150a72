# SPDX-License-Identifier: AGPL-3.0-only
"""What goes into the history store, and what it answers: frozen structs, no driver, no SQL."""

from collections.abc import Sequence

import msgspec

from queuedeck.history.facts import TaskChecked
from queuedeck.history.labels import Labels
from queuedeck_agent import wire


class Poison(msgspec.Struct, frozen=True):
    """A record that could not be decoded: kept, shown and acknowledged, never retried."""

    raw: bytes
    error: str
    numbers: int = 1
    """For how many numbers of its lane it stands: more for a `Loss` that could not be read."""


class Batch(msgspec.Struct, frozen=True):
    """Consecutive records of one lane, decoded. Numbers run from `first` to `last`."""

    project_id: int
    lane: str
    agent_id: str
    first: int
    last: int
    events: Sequence[wire.AnyEvent | TaskChecked | Poison]
    """In lane order. A `Loss` stands for `count` numbers, everything else for one."""
    labels: Labels | None = None
    """The project's rules; None: it has none."""


class Recorded(msgspec.Struct, frozen=True):
    """What one committed group changed."""

    committed: dict[str, int]
    """For each lane of the group, the last number now on disk."""
    expected: dict[str, int]
    """Lanes whose batch did not begin where the lane ends, and was not stored: send after these."""
    tasks: dict[int, set[tuple[str, str]]]
    """Project id -> (engine, task id) of the tasks that changed."""
    refused: frozenset[tuple[int, str]] = frozenset()
    """(project id, lane) where the lane belongs to another project: nothing of it was stored."""
