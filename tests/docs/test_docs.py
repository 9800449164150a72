# SPDX-License-Identifier: AGPL-3.0-only
"""The documentation says what the code says, and its links lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "agent/README.md"])


GENERATED = ("reference.md", "engines.md", "capabilities.json")


@pytest.mark.parametrize("name", GENERATED)
def test_generated_page_is_up_to_date(name: str) -> None:
    page = runpy.run_path(str(ROOT / "docs/generate.py"))["pages"]()[name]
    assert (ROOT / "docs" / name).read_text() == page, "run `make docs` and commit the result"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_links_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_versions_of_both_packages_are_equal() -> None:
    server = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    agent = re.search(
        r'^version = "(.+)"', (ROOT / "agent/pyproject.toml").read_text(), re.MULTILINE
    )
    assert server
    assert agent
    assert server[1] == agent[1]
