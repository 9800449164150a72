# SPDX-License-Identifier: AGPL-3.0-only
"""Workers for the behaviours of one engine, and the record of what passed."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.harness import Harness

RECORD = Path(__file__).with_name("record.json")
"""Engine -> version and behaviours. `make conformance` writes it; docs are made from it."""

_passed: dict[str, dict[str, Any]] = {}


def behaviour_of(test: str) -> str:
    return test.removeprefix("test_").partition("[")[0]


def line_of(harness: type[Harness], name: str, title: str | None) -> dict[str, str]:
    """What the record says of a behaviour that passed, or that is declared impossible."""
    why = harness.impossible.get(name, "")
    support = "impossible" if why else "emulated" if name in harness.emulated else "native"
    reason = why or harness.emulated.get(name, "")
    return {"title": (title or "").strip(), "support": support, "reason": reason}


@pytest.fixture(autouse=True)
def _record(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Says which engine and behaviour this is; one that is declared impossible is not run."""
    harness: type[Harness] | None = getattr(request.module, "HARNESS", None)
    if harness is None:
        return
    name = behaviour_of(request.node.name)
    line = line_of(harness, name, request.function.__doc__)
    record_property("behaviour", [harness.engine, harness.version(), name, line])
    if line["support"] == "impossible":
        pytest.skip(line["reason"])


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
    """In the process that collects the results, also of a parallel run."""
    found = dict(report.user_properties).get("behaviour")
    if not isinstance(found, (list, tuple)) or report.when == "teardown":
        return
    engine, version, name, line = found
    if report.passed and report.when == "setup":
        return
    ended_well = report.passed or (report.skipped and line["support"] == "impossible")
    entry = _passed.setdefault(engine, {"version": version, "behaviours": {}})
    if ended_well:
        entry["behaviours"][name] = line


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With QUEUEDECK_RECORD: replaces what the record says of the engines that ran."""
    if not os.environ.get("QUEUEDECK_RECORD") or os.environ.get("PYTEST_XDIST_WORKER"):
        return
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record.update(_passed)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
