# SPDX-License-Identifier: AGPL-3.0-only
"""Each pitfall on the page names a test that exists, and that is run for its engine."""

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/engines/pitfalls.md"
ENGINES = ("celery", "rq", "dramatiq", "huey", "arq", "taskiq")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
CAPABILITIES = json.loads((ROOT / "docs/capabilities.json").read_text())


class Row(NamedTuple):
    """One line of a table."""

    section: str
    cells: tuple[str, ...]


def rows() -> list[Row]:
    found: list[Row] = []
    section = ""
    for line in PAGE.read_text().splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        if line.startswith("| ") and not line.startswith("| pitfall"):
            found.append(Row(section, tuple(map(str.strip, line.strip("|").split("|")))))
    return found


ROWS = rows()


def defined_in(path: Path) -> set[str]:
    """The test functions that a file defines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {one.name for one in ast.parse(path.read_text()).body if isinstance(one, kinds)}


def is_run(section: str, path: str, name: str) -> bool:
    """Of a behaviour, whether the engine's harness runs it and does not call it impossible; of
    those that are run for several engines, whether the file knows this one."""
    if section == "Every engine":
        return True
    engine = section.lower()
    if path == "tests/conformance/behaviours.py":
        told = CAPABILITIES[engine].get(name.removeprefix("test_"))
        return told is not None and told["support"] != "impossible"
    return f"test_{engine}" in path or engine in (ROOT / path).read_text().lower()


def test_page_has_a_table_for_each_engine() -> None:
    assert {row.section.lower() for row in ROWS} == {"every engine", *ENGINES}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}: {row.cells[0][:60]}")
def test_pitfall_has_a_test(row: Row) -> None:
    assert len(row.cells) == 3, "a pitfall, what we do, one test"
    found = TEST.fullmatch(row.cells[2])
    assert found, "path::name, in backticks"
    path, name = found.groups()
    assert name in defined_in(ROOT / path)
    assert is_run(row.section, path, name)


@pytest.mark.parametrize("engine", ENGINES)
def test_page_of_an_engine_leads_there(engine: str) -> None:
    assert "](pitfalls.md" in (ROOT / f"docs/engines/{engine}.md").read_text()
