# SPDX-License-Identifier: AGPL-3.0-only
"""What each feature costs the intake, in microseconds of CPU an event: the same load in one process
with the feature and without it, in turns. One line of JSON.

    uv run python -m benchmarks.features --tasks 20000 --rounds 5
"""

import argparse
import contextlib
import json
import sqlite3
import statistics
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import inprocess

from queuedeck.history.sql.failures import Failures
from queuedeck.history.sql.rollups import Rollups
from queuedeck.history.sqlite import store
from queuedeck.live import Live


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    used: dict[str, list[float]] = {name: [] for name in ("everything", *_WITHOUT)}
    for _ in range(options.rounds):
        for name, times in used.items():
            with _WITHOUT.get(name, contextlib.nullcontext)():
                times.append(float(str(inprocess.measure(options.tasks)["cpu_us_per_event"])))
    whole = used.pop("everything")
    costs = {
        name: round(statistics.median(a - b for a, b in zip(whole, times, strict=True)), 1)
        for name, times in used.items()
    }
    report = {
        "cpu_us_per_event": round(statistics.median(whole), 1),
        "lowest": min(whole),
        "highest": max(whole),
        "of_which": costs,
    }
    sys.stdout.write(json.dumps(report) + "\n")


def _without(place: Any, **values: Any) -> AbstractContextManager[Any]:
    return patch.multiple(place, **values)


@contextlib.contextmanager
def _not_durable() -> Generator[None]:
    """Commits that do not wait for the disk."""
    durable = store.open_writer

    def lax(path: Path) -> sqlite3.Connection:
        db = durable(path)
        db.execute("PRAGMA synchronous = OFF")
        return db

    with _without(store, open_writer=lax):
        yield


def _nothing(*_args: object, **_more: object) -> None:
    """Stands for what is left out."""


_WITHOUT = {
    "arguments": lambda: _without(inprocess, SHOWN=b""),
    "sealed calls": lambda: _without(inprocess, SEALED=b""),
    "5 % failures with traceback": lambda: _without(inprocess, FAILS_EVERY=1 << 40),
    "rollups": lambda: _without(Rollups, count=_nothing, write=_nothing),
    "failure groups": lambda: _without(Failures, count=_nothing, write=_nothing),
    "waiting for the disk": _not_durable,
    "live topics": lambda: _without(Live, publish=_nothing),
}


if __name__ == "__main__":
    main()
