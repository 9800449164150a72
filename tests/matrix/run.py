# SPDX-License-Identifier: AGPL-3.0-only
"""Runs the conformance suite in cells of the matrix, one after the other:

    python -m tests.matrix.run [CELL ...]     # a name, or its beginning: celery, rq-1.16

Each cell writes a record; `make docs` merges them. A cell whose interpreter or broker is missing
is reported as not run and leaves its record as it was. Exit code 1 when a behaviour failed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from tests.matrix import brokers, cells, environment
from tests.matrix.cells import REPOSITORY, Cell

LIMIT_S = 900
"""For the whole suite in one cell; it takes about a minute."""


class Outcome(msgspec.Struct, frozen=True):
    """How a cell ended."""

    cell: str
    word: str
    """`passed`, `failed` or `not run`."""
    why: str = ""


def main(wanted: list[str]) -> int:
    chosen = choose(wanted)
    if not chosen:
        _say(f"No cell of {cells.MATRIX.name} begins with: {', '.join(wanted)}")
        return 2
    with _redis() as redis:
        outcomes = [_told(run(one, redis)) for one in chosen]
    for word in ("passed", "failed", "not run"):
        _say(f"{word}: {sum(one.word == word for one in outcomes)}")
    return int(any(one.word == "failed" for one in outcomes))


def choose(wanted: list[str]) -> list[Cell]:
    """Cells of these names, or of names that begin so; without any, all of them."""
    every = cells.load()
    names = {one.name for one in every}
    begin = tuple(one for one in wanted if one not in names)
    return [one for one in every if not wanted or one.name in wanted or one.name.startswith(begin)]


def run(cell: Cell, redis: str) -> Outcome:
    """One cell, on that Redis."""
    try:
        queues = brokers.url_of(cell.broker, redis)
        python = environment.make(cell)
    except environment.NotRun as missing:
        return Outcome(cell.name, "not run", str(missing))
    except subprocess.CalledProcessError as error:
        return Outcome(cell.name, "failed", f"its environment cannot be made: {error}")
    began = time.monotonic()
    where = {"TEST_BROKER": redis, "TEST_QUEUES": queues, "TEST_POOL": cell.pool}
    code = _pytest(cell, python, where)
    seconds = f"{time.monotonic() - began:.0f} s"
    return Outcome(cell.name, "failed" if code else "passed", seconds)


def _pytest(cell: Cell, python: Path, where: dict[str, str]) -> int:
    """The engine's file with the cell's Python, and nothing of the server's environment. Each cell
    has temporary files of its own: pytest empties the folder, and another run may be at work."""
    here = REPOSITORY / "tests"
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("QUEUEDECK_", "PYTEST_", "VIRTUAL_ENV", "PYTHON"))
    }
    command = [
        "nice", "-n", "10", str(python), "-m", "pytest", "--quiet",
        "-c", str(here / "matrix/cell.ini"), "--rootdir", str(REPOSITORY),
        "--confcutdir", str(here / "conformance"), "--basetemp", str(python.parents[1] / "tmp"),
        str(here / f"conformance/test_{cell.engine}.py"),
    ]  # fmt: skip
    record = {"QUEUEDECK_RECORD": str(cell.record), "TEST_CELL": cell.name}
    env = {**inherited, "PYTHONPATH": str(REPOSITORY), **where, **record}
    try:
        return subprocess.run(command, cwd=REPOSITORY, env=env, timeout=LIMIT_S).returncode
    except subprocess.TimeoutExpired:
        return 1


@contextmanager
def _redis() -> Iterator[str]:
    """The one that tests use on this machine, or one of our own for this run."""
    given = os.environ.get("TEST_BROKER", brokers.USUAL_REDIS)
    if brokers.answers(given):
        yield given
        return
    from queuedeck.demo.broker import start_broker

    with tempfile.TemporaryDirectory(prefix="queuedeck-matrix-") as folder:
        process, url = start_broker(Path(folder))
        try:
            yield url
        finally:
            process.stop()


def _told(outcome: Outcome) -> Outcome:
    _say(f"{outcome.cell}: {outcome.word}{f' ({outcome.why})' if outcome.why else ''}")
    return outcome


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
