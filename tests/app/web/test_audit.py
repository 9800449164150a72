# SPDX-License-Identifier: AGPL-3.0-only
"""The audit page and its check."""

import contextlib
import sqlite3

import pytest
from tests.support.pages import press, visitor

from queuedeck.domain.accounts.permissions import Role


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project, Role.AUDITOR) as client:
        yield client


async def test_entries_are_listed_newest_first(project, ann):
    page = (await ann.get(f"/p/{project.slug}/audit")).text
    assert page.index("added a member") < page.index("made the project")
    assert "Signed checkpoint" in page


async def test_check_says_what_was_proved(project, ann):
    answer = await press(ann, f"/p/{project.slug}/audit/checks")
    assert answer.status_code == 200
    assert "verified" in answer.text
    assert "Merkle root" in answer.text


def tamper(settings, change):
    with contextlib.closing(sqlite3.connect(settings.control_db)) as file:
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in file.execute(triggers).fetchall():
            file.execute(f"DROP TRIGGER {name}")
        file.execute(f"UPDATE audit_entries SET {change}")
        file.commit()


async def test_check_says_where_the_log_was_changed(serving, project, ann):
    tamper(serving.settings, "mac = zeroblob(32) WHERE seq = 1")
    page = (await press(ann, f"/p/{project.slug}/audit/checks")).text
    assert "The log does not verify" in page
    assert "Entry 1 is not what was written" in page


async def test_check_is_shown_when_entries_cannot_be_read(serving, project, ann):
    tamper(serving.settings, "body = X'7B7D'")
    page = (await press(ann, f"/p/{project.slug}/audit/checks")).text
    assert "Entry 1 cannot be read" in page


async def test_viewer_does_not_read_the_log(serving, project):
    async with visitor(serving, project, Role.VIEWER) as viewer:
        assert (await viewer.get(f"/p/{project.slug}/audit")).status_code == 403
        assert (await press(viewer, f"/p/{project.slug}/audit/checks")).status_code == 403


async def test_other_projects_have_no_log(serving, project, ann):
    other = await serving.project("Other")
    assert (await ann.get(f"/p/{other.slug}/audit")).status_code == 404
