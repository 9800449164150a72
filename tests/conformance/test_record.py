# SPDX-License-Identifier: AGPL-3.0-only
"""The records that the documentation is made from say what the suite and the matrix say."""

import importlib
from typing import Any

import pytest
from tests.conformance import behaviours, verbs
from tests.conformance.conftest import behaviour_of, line_of
from tests.conformance.harness import Harness
from tests.matrix import cells
from tests.matrix.cells import Cell

from queuedeck_agent.engines import versions

CELLS = cells.load()
RECORDS = cells.records()
RECORDED = [pytest.param(one, id=one.name) for one in CELLS if one.name in RECORDS]
ENGINES = sorted({one.engine for one in CELLS})
NEWEST = list({one.engine: one for one in CELLS if one.is_usual}.values())
"""Their records have all behaviours; others may lack those that came since, and count fewer."""
ANEW = "run `make test-engines docs`, commit the result"
BEHAVIOURS = {
    behaviour_of(name): function
    for name, function in vars(behaviours).items()
    if name.startswith("test_")
}
VERBS = {
    behaviour_of(name): function.__doc__.strip()
    for name, function in vars(verbs).items()
    if name.startswith("test_")
}
"""What the record says of a verb is what the adapter says."""


def harness_of(engine: str) -> type[Harness]:
    return importlib.import_module(f"tests.conformance.test_{engine}").HARNESS


@pytest.mark.parametrize("cell", RECORDED)
def test_record_says_what_the_suite_says(cell: Cell) -> None:
    record = RECORDS[cell.name]
    harness = harness_of(cell.engine)
    expected: dict[str, Any] = {
        name: line_of(harness, name, function.__doc__, record["version"], cell.broker, cell.pool)
        for name, function in BEHAVIOURS.items()
    }
    assert record["failed"] == []
    recorded = record["behaviours"].items()
    assert {name: one["title"] for name, one in recorded if name not in expected}.items() <= (
        VERBS.items()
    )
    known = {name: one for name, one in recorded if name in expected}
    if cell in NEWEST:
        assert known.keys() == expected.keys(), ANEW
    assert known == {name: expected[name] for name in known}, ANEW


@pytest.mark.parametrize("cell", RECORDED)
def test_record_is_of_its_cell(cell: Cell) -> None:
    record = RECORDS[cell.name]
    assert f"{cell.engine}=={record['version']}" == cell.packages[0]
    found = (record["engine"], record["broker"], record["python"], record.get("pool", ""))
    assert found == (cell.engine, cell.broker, cell.python, cell.pool)


@pytest.mark.parametrize("engine", ENGINES)
def test_supported_versions_are_those_that_were_run(engine: str) -> None:
    """From the oldest that was run up to the next minor version after the newest."""
    ran = [
        RECORDS[one.name]["version"]
        for one in CELLS
        if one.engine == engine and one.record.exists()
    ]
    numbers = sorted([int(part) for part in version.split(".")] for version in ran)
    oldest, (major, minor, *_) = numbers[0], numbers[-1]
    upper = f"<{major}.{minor + 1}"
    lower = {".".join(map(str, oldest[:count])) for count in (2, 3)}
    assert versions.TESTED[engine] in {f">={one},{upper}" for one in lower}
    assert versions.within(harness_of(engine).version(), versions.TESTED[engine])


@pytest.mark.parametrize("engine", ENGINES)
def test_exceptions_name_behaviours_that_exist(engine: str) -> None:
    harness = harness_of(engine)
    named = {name for one in harness.differences for name in one.behaviours}
    assert {*harness.emulated, *harness.impossible, *named} <= BEHAVIOURS.keys() | VERBS.keys()
    assert not harness.emulated.keys() & harness.impossible.keys()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_verb_is_excepted(engine: str) -> None:
    """The adapter itself says what it cannot, and that it refuses is tested."""
    harness = harness_of(engine)
    named = {name for one in harness.differences for name in one.behaviours}
    assert not {*harness.emulated, *harness.impossible, *named} & VERBS.keys()
