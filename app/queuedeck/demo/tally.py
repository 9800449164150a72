# SPDX-License-Identifier: AGPL-3.0-only
"""Three counts of the same tasks, by those who sent, ran and stored them, and whether they agree.

Pure: the numbers are collected elsewhere.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from queuedeck.history.records import FINAL_STATES

SHOWN = 5
"""How many task ids a complaint names."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody counted, as sets of task ids."""

    sent: frozenset[str]
    """Handed to the broker: what the producer, beat and (for parts of chains and chords) the worker
    noted when they published, and the new tasks of the operator's retries. An engine's own retry
    publishes the same id again and counts once."""
    ran: frozenset[str]
    """Began to run, as the tasks themselves noted in the broker."""
    succeeded: frozenset[str]
    failed: frozenset[str]
    """How they ended, as the tasks themselves noted."""
    stored: Mapping[str, str]
    """Task id -> state, as the server's API lists them."""
    cancelled: frozenset[str]
    """The tasks for which a cancel command was accepted."""
    retried: frozenset[str]
    """The new tasks of the retry commands that are done."""
    commands: Mapping[str, int]
    """How many commands ended as `done`, and how many as `failed`."""
    events_received: int
    events_lost: int

    @property
    def all_ended(self) -> bool:
        """Whether every stored task is in a final state."""
        return all(state in FINAL_STATES for state in self.stored.values())

    @property
    def retries_done(self) -> int:
        """Retries whose new task ran, by its own account."""
        return len(self.retried & self.ran)


def disagreements(tally: Tally) -> list[str]:
    """One sentence for each thing that does not agree; empty when all is well.

    The identity: ids sent == ids ran == ids stored. It holds with cancelled tasks too, as the
    operator cancels only those whose first attempt ran and noted so, and which wait for their next.
    And the outcomes: those that noted that they succeeded or failed are stored so, those that were
    cancelled by a command are stored so (so they did not run to an end), and no others.
    """
    in_state = {
        state: frozenset(i for i, s in tally.stored.items() if s == state)
        for state in ("succeeded", "failed", "cancelled")
    }
    found = [
        *_compare("stored by the server", frozenset(tally.stored), "sent", tally.sent),
        *_compare("run", tally.ran, "sent", tally.sent),
        *_compare("stored as succeeded", in_state["succeeded"], "succeeded", tally.succeeded),
        *_compare("stored as failed", in_state["failed"], "failed", tally.failed),
        *_compare(
            "stored as cancelled", in_state["cancelled"], "cancelled by a command", tally.cancelled
        ),
    ]
    if tally.events_lost:
        found.append(f"{tally.events_lost} events were lost.")
    if not tally.retries_done:
        found.append("No retry was done.")
    return found


def report(tally: Tally) -> dict[str, Any]:
    """The last line of `queuedeck demo --json`."""
    return {
        "sent": {"celery": len(tally.sent)},
        "ran": {"celery": len(tally.ran)},
        "stored": {"celery": len(tally.stored)},
        "tasks": {"celery": dict(sorted(Counter(tally.stored.values()).items()))},
        "commands": {kind: tally.commands.get(kind, 0) for kind in ("done", "failed")},
        "retries_done": tally.retries_done,
        "events_received": tally.events_received,
        "events_lost": tally.events_lost,
    }


def _compare(what: str, got: frozenset[str], other: str, expected: frozenset[str]) -> list[str]:
    found: list[str] = []
    if extra := sorted(got - expected):
        found.append(f"{len(extra)} tasks were {what} but not {other}: {_some(extra)}.")
    if missing := sorted(expected - got):
        found.append(f"{len(missing)} tasks were {other} but not {what}: {_some(missing)}.")
    return found


def _some(task_ids: list[str]) -> str:
    shown = ", ".join(task_ids[:SHOWN])
    return shown + (", …" if len(task_ids) > SHOWN else "")
