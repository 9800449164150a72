# SPDX-License-Identifier: AGPL-3.0-only
"""Workers for the behaviours of one engine, and the record of what passed."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.harness import BROKER_NAME, POOL, Commander, Harness

from queuedeck_agent import wire

RECORD = os.environ.get("QUEUEDECK_RECORD", "")
"""A file: `make test-engines` names one for each cell of the matrix; docs are made from them."""

_seen: dict[str, Any] = {}
"""The record of this run: of one engine, since a cell holds one."""


_LINE = pytest.StashKey[dict[str, str]]()
"""What the record says of the behaviour that is running."""
_SUPPORT = {"native": "native", "emulated": "emulated", "none": "impossible"}


def behaviour_of(test: str) -> str:
    return test.removeprefix("test_").partition("[")[0]


def line_of(
    harness: type[Harness], name: str, title: str | None, version: str, broker: str, pool: str = ""
) -> dict[str, str]:
    """What the record says of a behaviour that passed, or that is declared impossible."""
    support, reason = harness.says_of(name, version, broker, pool)
    return {"title": (title or "").strip(), "support": support, "reason": reason}


@pytest.fixture(autouse=True)
def _record(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Says which engine and behaviour this is; one that is declared impossible is not run."""
    harness: type[Harness] | None = getattr(request.module, "HARNESS", None)
    if harness is None:
        return
    name = behaviour_of(request.node.name)
    version = harness.version()
    line = line_of(harness, name, request.function.__doc__, version, BROKER_NAME, POOL)
    request.node.stash[_LINE] = line
    record_property("behaviour", [harness.engine, version, name, line])
    if line["support"] == "impossible":
        pytest.skip(line["reason"])


@pytest.fixture
def able(request: pytest.FixtureRequest) -> Callable[[Harness | Commander, str], wire.Capability]:
    """What an adapter says about a verb. The record of a verb says the same, and no harness may
    say otherwise: it is what operators see."""

    def ask(where: Harness | Commander, verb: str) -> wire.Capability:
        said = where.able(verb)
        request.node.stash[_LINE].update(support=_SUPPORT[said.how], reason=said.reason)
        return said

    return ask


@pytest.fixture(scope="module")
def linked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    """A worker with a link to a server, which may do everything."""
    harness: Harness = request.module.HARNESS(tmp_path_factory.mktemp("linked"))
    try:
        yield harness.link(*sorted(set(wire.VERBS.values()))).start()
    finally:
        harness.close()


@pytest.fixture(scope="module")
def worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    harness: Harness = request.module.HARNESS(tmp_path_factory.mktemp("worker"))
    try:
        yield harness.start()
    finally:
        harness.close()


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Harness]]:
    made: list[Harness] = []

    def make(**environment: str) -> Harness:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(request.module.HARNESS(folder, environment))
        return made[-1]

    yield make
    for harness in made:
        harness.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A behaviour holds when its test passed, or when it is declared impossible."""
    found = dict(report.user_properties).get("behaviour")
    if not isinstance(found, (list, tuple)) or report.when == "teardown":
        return
    engine, version, name, line = found
    if report.passed and report.when == "setup":
        return
    _seen.update(engine=engine, version=version)
    behaviours, failed = _seen.setdefault("behaviours", {}), _seen.setdefault("failed", set())
    if report.passed or (report.skipped and line["support"] == "impossible"):
        behaviours[name] = line
        failed.discard(name)
    else:
        failed.add(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the record: the runner of the matrix asks for it, and runs the whole file."""
    if not RECORD or not _seen:
        return
    where = {"broker": BROKER_NAME, "python": ".".join(platform.python_version_tuple()[:2])}
    where |= {"pool": POOL} if POOL else {}
    record = {**_seen, **where, "failed": sorted(_seen["failed"])}
    Path(RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
