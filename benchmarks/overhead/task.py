# SPDX-License-Identifier: AGPL-3.0-only
"""The task of all engines: it does nothing, so that all that is measured is overhead."""

import itertools
import os
from pathlib import Path
from typing import Any

from benchmarks.overhead import timers

BROKER = os.environ.get("BENCH_BROKER", "redis://127.0.0.1:6379/13")
QUEUE = os.environ.get("BENCH_QUEUE", "bench")
"""`staged` in the process that publishes: no worker looks there yet."""
FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))

_marks = frozenset(int(one) for one in os.environ.get("BENCH_MARKS", "").split(",") if one)
_ran = itertools.count(1)
_times_nothing = timers.calibration() if os.environ.get("BENCH_TIMED") else None


def nothing(*args: Any, **kwargs: Any) -> None:
    """Says when so many tasks have run in this process that somebody waits for it."""
    if _times_nothing is not None:
        _times_nothing()
    count = next(_ran)
    if count in _marks:
        (FOLDER / f"ran-{count}").touch()
