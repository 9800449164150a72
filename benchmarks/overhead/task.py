# SPDX-License-Identifier: AGPL-3.0-only
"""The task of all engines: it does nothing, so that all that is measured is overhead."""

import itertools
import os
from pathlib import Path
from typing import Any

BROKER = os.environ.get("BENCH_BROKER", "redis://127.0.0.1:6379/13")
QUEUE = os.environ.get("BENCH_QUEUE", "bench")
"""`staged` in the process that publishes: no worker looks there yet."""
FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))

_marks = frozenset(int(one) for one in os.environ.get("BENCH_MARKS", "").split(",") if one)
_ran = itertools.count(1)


def nothing(*args: Any, **kwargs: Any) -> None:
    """Says when so many tasks have run in this process that somebody waits for it."""
    count = next(_ran)
    if count in _marks:
        (FOLDER / f"ran-{count}").touch()
