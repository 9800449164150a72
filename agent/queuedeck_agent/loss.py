# SPDX-License-Identifier: Apache-2.0
"""What is given up when the spool is full, in which order, and how it is counted.

While events arrive: extras (progress, tags, log lines, traces) once the spool is half full;
everything but failures and command results, once it is nearly full; those too when it is full.
Meanwhile the link thins what waits: extras, and whole stories of tasks that succeeded, go first.
Each drop is told by a `Loss`, so that received + lost = produced.
"""

import time
from collections import Counter
from collections.abc import Iterable

import msgspec

from queuedeck_agent import wire

KINDS = (
    "source-seen",
    "task-published",
    "task-received",
    "task-started",
    "task-succeeded",
    "task-failed",
    "task-retrying",
    "task-cancelled",
    "task-lost",
    "loss",
    "command-done",
    "command-failed",
    "other",
    "task-progressed",
    "task-tagged",
    "task-logged",
    "task-traced",
)
"""Counters in the segment's header are in this order: append only."""

KIND_OF: dict[type[wire.Event], int] = {
    wire.SourceSeen: 0,
    wire.TaskPublished: 1,
    wire.TaskReceived: 2,
    wire.TaskStarted: 3,
    wire.TaskSucceeded: 4,
    wire.TaskFailed: 5,
    wire.TaskRetrying: 6,
    wire.TaskCancelled: 7,
    wire.TaskLost: 8,
    wire.Loss: 9,
    wire.CommandDone: 10,
    wire.CommandFailed: 11,
    wire.TaskProgressed: 13,
    wire.TaskTagged: 14,
    wire.TaskLogged: 15,
    wire.TaskTraced: 16,
}
OTHER = 12
"""Kinds above this one are extras: they make room for everything else."""

_EXTRAS = frozenset((13, 14, 15, 16))
DROPPED_FIRST = frozenset((1, 2, 3, 4, OTHER)) | _EXTRAS
"""Kinds that make room for the rest: what a task that succeeds leaves behind."""

_STORY = frozenset(KINDS[kind] for kind in (1, 2, 3, 4))
_EXTRA_TAGS = frozenset(KINDS[kind] for kind in _EXTRAS)


def is_dropped_first(kind: int) -> bool:
    """Whether records of this kind stop being written when the spool is nearly full."""
    return kind in DROPPED_FIRST


def loss_of(counts: list[int], reason: str) -> wire.Loss:
    """The `Loss` that stands for so many records of each kind."""
    kinds = {KINDS[kind]: count for kind, count in enumerate(counts) if count}
    return wire.Loss(time.time_ns() // 1_000, sum(counts), kinds, reason)


def counts_in(loss: wire.Loss) -> list[int]:
    """The inverse of `loss_of`, for kinds that are known."""
    return [loss.kinds.get(kind, 0) for kind in KINDS]


class _Label(msgspec.Struct, array_like=True):
    """The first fields of any event: enough to sort it without decoding the rest."""

    kind: str
    at_us: int
    source: msgspec.Raw = msgspec.Raw(b"\xc0")
    task_id: msgspec.Raw = msgspec.Raw(b"\xc0")


_label = msgspec.msgpack.Decoder(_Label).decode


def thin(records: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The same records without extras and without the stories of tasks that succeeded here; `Loss`
    in their place.

    Numbers stay: a `Loss` has the number of the last record that it stands for.
    """
    labelled = [(number, payload, _read_label(payload)) for number, payload in records]
    succeeded = {
        (bytes(label.source), bytes(label.task_id))
        for _, _, label in labelled
        if label.kind == "task-succeeded"
    }
    kept: list[tuple[int, bytes]] = []
    gone: Counter[str] = Counter()
    last = 0
    for number, payload, label in labelled:
        story = (bytes(label.source), bytes(label.task_id))
        if label.kind in _EXTRA_TAGS or (label.kind in _STORY and story in succeeded):
            gone[label.kind] += 1
            last = number
            continue
        if gone:
            kept.append((last, _told(gone)))
            gone = Counter()
        kept.append((number, payload))
    if gone:
        kept.append((last, _told(gone)))
    return kept


def _told(gone: Counter[str]) -> bytes:
    now = time.time_ns() // 1_000
    return wire.encode(wire.Loss(now, gone.total(), dict(gone), "spool full"))


def _read_label(payload: bytes) -> _Label:
    try:
        return _label(payload)
    except msgspec.DecodeError:
        return _Label("other", 0)
