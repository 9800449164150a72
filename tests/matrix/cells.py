# SPDX-License-Identifier: AGPL-3.0-only
"""The cells of tests/agent/matrix.toml, and what the records say of them."""

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec

REPOSITORY = Path(__file__).resolve().parents[2]
MATRIX = REPOSITORY / "tests/agent/matrix.toml"
RECORDS = REPOSITORY / "tests/matrix/records"
"""One file for each cell, of its last run."""


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine in certain versions, on one broker."""

    name: str
    engine: str
    packages: tuple[str, ...]
    broker: str = "redis"
    """`redis` or `rabbitmq`: where the tasks wait. Results and the truth are in Redis always."""
    python: str = "3.11"
    pool: str = ""
    """How its worker runs tasks at once, in the engine's own word; empty: as by default."""

    @property
    def is_usual(self) -> bool:
        """On Redis, on the usual Python, with the workers that an engine has by default."""
        return (self.broker, self.python, self.pool) == ("redis", "3.11", "")

    @property
    def record(self) -> Path:
        return RECORDS / f"{self.name}.json"


def load(path: Path = MATRIX) -> list[Cell]:
    """In the order of the file."""
    return msgspec.convert(tomllib.loads(path.read_text())["cell"], list[Cell])


def records() -> dict[str, dict[str, Any]]:
    """Cell -> what its last run has recorded; a cell that was never run has none."""
    return {one.name: json.loads(one.record.read_text()) for one in load() if one.record.exists()}
