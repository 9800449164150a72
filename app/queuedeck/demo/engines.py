# SPDX-License-Identifier: AGPL-3.0-only
"""The parts of the shop: which engine each one runs on, and the command of its worker."""

import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec

SHOP = Path(__file__).with_name("shop")
"""A copy of it is on the path of the shop's processes: they find `orders` and the others by name,
and what they raise is raised by an application, not by a library."""


class Part(msgspec.Struct, frozen=True):
    """One engine with its part of the shop. The engine's name is also its module's."""

    engine: str
    title: str
    """As people write it."""
    does: str
    command: tuple[str, ...]
    """The engine's own, as anybody would type it."""

    @property
    def worker(self) -> list[str]:
        """The command with the program of this environment."""
        return [str(_program(self.command[0])), *self.command[1:]]

    @property
    def lacks(self) -> str:
        """What is not installed, or nothing."""
        program = _program(self.command[0])
        if find_spec(self.engine) is None:
            return f"{self.engine} is not installed"
        return "" if program.exists() else f"there is no {program}"


PARTS = (
    Part(
        "celery",
        "Celery",
        "orders",
        ("celery", "-A", "orders", "worker", "-c", "2", "-Q", "orders", "-l", "info"),
    ),
    Part(
        "rq",
        "RQ",
        "invoices",
        ("rq", "worker", "invoices", "--name", "invoices-1", "--with-scheduler"),
    ),
    Part("dramatiq", "Dramatiq", "mail", ("dramatiq", "mail", "-p", "1", "-t", "2")),
    Part("huey", "Huey", "stock", ("huey_consumer", "stock.huey", "-w", "2")),
    Part("arq", "arq", "webhooks", ("arq", "webhooks.WorkerSettings")),
    Part(
        "taskiq",
        "taskiq",
        "recommendations",
        ("taskiq", "worker", "recommendations:broker", "-w", "1"),
    ),
)
BEAT = ("celery", "-A", "orders", "beat", "-l", "info")
"""Celery's scheduler, a process of its own."""


def beat(folder: Path) -> list[str]:
    """It keeps its clock in that folder."""
    return [str(_program(BEAT[0])), *BEAT[1:], "-s", str(folder / "beat")]


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)
