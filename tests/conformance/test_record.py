# SPDX-License-Identifier: AGPL-3.0-only
"""The record that the documentation is made from says what the suite says."""

import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import behaviours
from tests.conformance.conftest import RECORD, behaviour_of, line_of

pytestmark = pytest.mark.skipif(
    "QUEUEDECK_RECORD" in os.environ, reason="this run writes the record"
)
ENGINES = sorted(
    path.stem.removeprefix("test_")
    for path in Path(__file__).parent.glob("test_*.py")
    if path.stem != "test_record"
)
BEHAVIOURS = {
    behaviour_of(name): function
    for name, function in vars(behaviours).items()
    if name.startswith("test_")
}


@pytest.mark.parametrize("engine", ENGINES)
def test_record_is_up_to_date(engine: str) -> None:
    harness = importlib.import_module(f"tests.conformance.test_{engine}").HARNESS
    expected: dict[str, Any] = {
        name: line_of(harness, name, function.__doc__) for name, function in BEHAVIOURS.items()
    }
    found = json.loads(RECORD.read_text()).get(engine, {})
    assert found.get("behaviours") == expected, "run `make conformance docs`, commit the result"
    assert found["version"] == harness.version()


@pytest.mark.parametrize("engine", ENGINES)
def test_exceptions_name_behaviours_that_exist(engine: str) -> None:
    harness = importlib.import_module(f"tests.conformance.test_{engine}").HARNESS
    assert {*harness.emulated, *harness.impossible} <= BEHAVIOURS.keys()
    assert not harness.emulated.keys() & harness.impossible.keys()
