# SPDX-License-Identifier: AGPL-3.0-only
"""Three counts of the same tasks, by those who sent, ran and stored them, and whether they agree.

Pure: the numbers are collected elsewhere.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from queuedeck.history.tasks import FINAL_STATES

SHOWN = 5
"""How many task ids a complaint names."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody counted of one engine, as sets of task ids."""

    sent: frozenset[str]
    """Handed to the broker, as whoever sent it noted: the website, schedulers, and tasks that send
    tasks; and the new tasks of the operator's retries. An engine's own retry keeps the id and
    counts once."""
    ran: frozenset[str]
    """Began to run, as the shop's own hooks and functions noted."""
    ran_again: frozenset[str]
    """Those that began more than once: the engine retried them."""
    succeeded: frozenset[str]
    failed: frozenset[str]
    """How they ended, as noted there too."""
    stored: Mapping[str, str]
    """Task id -> state, as the server's API lists them."""
    cancelled: frozenset[str]
    """The tasks for which a cancel command was accepted."""
    retried: frozenset[str]
    """The new tasks of the retry commands that are done."""
    attempted_again: frozenset[str]
    """The stored tasks with more than one attempt."""
    retried_as: Mapping[str, str]
    """Task id -> the new task, for stored tasks that were retried by the operator."""

    @property
    def numbers(self) -> dict[str, int]:
        """As the report has them."""
        states = Counter(self.stored.values())
        return {
            "sent": len(self.sent),
            "ran": len(self.ran),
            "stored": len(self.stored),
            "succeeded": states["succeeded"],
            "failed": states["failed"],
            "cancelled": states["cancelled"],
            "retried": len(self.attempted_again | frozenset(self.retried_as)),
        }


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of all engines that run, and of the whole server."""

    engines: Mapping[str, Counts]
    missing: tuple[str, ...]
    """Engines of the shop that did not run, or not to the end."""
    commands: Mapping[str, int]
    """How many commands ended as `done`, and how many as `failed`."""
    events_received: int
    events_lost: int

    @property
    def all_ended(self) -> bool:
        """Whether every stored task is in a final state."""
        return all(
            state in FINAL_STATES for one in self.engines.values() for state in one.stored.values()
        )

    @property
    def retries_done(self) -> int:
        """Retries whose new task ran, by its own account."""
        return sum(len(one.retried & one.ran) for one in self.engines.values())


def disagreements(tally: Tally) -> list[str]:
    """One sentence for each thing that does not agree; empty when all is well."""
    found = [
        f"{engine}: {sentence}"
        for engine, counts in tally.engines.items()
        for sentence in _of_engine(counts)
    ]
    if tally.events_lost:
        found.append(f"{tally.events_lost} events were lost.")
    if not tally.retries_done:
        found.append("No retry was done.")
    return found


def report(tally: Tally) -> dict[str, Any]:
    """The last line of `queuedeck demo --json`."""
    engines = {engine: counts.numbers for engine, counts in tally.engines.items()}
    return {
        "engines": engines,
        "total": dict(sum((Counter(one) for one in engines.values()), Counter[str]())),
        "engines_missing": list(tally.missing),
        **{
            kind: {engine: numbers[kind] for engine, numbers in engines.items()}
            for kind in ("sent", "ran", "stored")
        },
        "tasks": {
            engine: dict(sorted(Counter(counts.stored.values()).items()))
            for engine, counts in tally.engines.items()
        },
        "commands": {kind: tally.commands.get(kind, 0) for kind in ("done", "failed")},
        "retries_done": tally.retries_done,
        "events_received": tally.events_received,
        "events_lost": tally.events_lost,
    }


def _of_engine(counts: Counts) -> list[str]:
    """The identity: ids sent == ids ran == ids stored. It holds with cancelled tasks too, as the
    operator cancels only those whose first attempt ran and noted so, and which wait for their next.
    The retries: those that ran again are stored with several attempts, and those that a command
    made are stored as such. The outcomes: those that noted that they succeeded or failed are stored
    so, those that were cancelled by a command are stored so (so they did not run to an end), and no
    others.
    """
    if not counts.sent:
        return ["Nothing was sent."]
    in_state = {
        state: frozenset(i for i, s in counts.stored.items() if s == state)
        for state in ("succeeded", "failed", "cancelled")
    }
    return [
        *_compare("stored by the server", frozenset(counts.stored), "sent", counts.sent),
        *_compare("run", counts.ran, "sent", counts.sent),
        *_compare(
            "stored with several attempts", counts.attempted_again, "run again", counts.ran_again
        ),
        *_compare(
            "stored as a retry", frozenset(counts.retried_as.values()), "retried", counts.retried
        ),
        *_compare("stored as succeeded", in_state["succeeded"], "succeeded", counts.succeeded),
        *_compare("stored as failed", in_state["failed"], "failed", counts.failed),
        *_compare(
            "stored as cancelled", in_state["cancelled"], "cancelled by a command", counts.cancelled
        ),
    ]


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
