# SPDX-License-Identifier: AGPL-3.0-only
"""TEMP tables for many rows: they are copied in, and one statement takes them from there. COPY
costs the server process a quarter of what arrays cost.
"""

from collections import Counter
from collections.abc import Sequence

STAGED_ROWS = 100
"""Fewer rows go as arrays: one round trip less."""


class Stages:
    """The stages of one connection. A stage is used once in a transaction, and empty after it."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}
        self._used: Counter[tuple[str, ...]] = Counter()
        self._made: set[str] = set()

    def take(self, types: tuple[str, ...]) -> tuple[str, str]:
        """(name of a table with these columns, statement that makes it, empty when it is there)."""
        number = self._numbers.setdefault(types, len(self._numbers))
        name = f"stage_{number}_{self._used[types]}"
        self._used[types] += 1
        if name in self._made:
            return name, ""
        self._made.add(name)
        return name, _table(name, types)

    def ended(self, *, committed: bool) -> None:
        """The transaction is over. Tables that it made went with it, unless it was committed."""
        self._used.clear()
        if not committed:
            self._made.clear()


def _table(name: str, types: Sequence[str]) -> str:
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(types, 1))
    return f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS"
