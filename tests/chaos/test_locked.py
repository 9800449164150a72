# SPDX-License-Identifier: AGPL-3.0-only
"""Another process holds the database, as a backup gone wrong would."""

import sqlite3
import time
from contextlib import closing

import pytest
from tests.support.chaos_crew import Crew, agree
from tests.support.chaos_page import check_readable, is_unready, says_why
from tests.support.e2e_login import logged_in
from tests.support.e2e_server import eventually

FULL = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.mark.parametrize("seconds", [0, pytest.param(20, marks=FULL)])
def test_locked_database_is_told_and_survived(place, run, seconds):
    server, project = place.server, place.project
    with (
        logged_in(server, project.slug) as browser,
        Crew(place.folder, server.url, project, rate=300) as crew,
    ):
        crew.more_acked(200)
        with closing(sqlite3.connect(server.data / "history.db", isolation_level=None)) as other:
            until = time.monotonic() + seconds
            other.execute("BEGIN IMMEDIATE")
            assert "locked" in eventually(lambda: is_unready(server), 60)
            eventually(lambda: says_why(browser, project), 30)
            acked = crew.told("acked")
            check_readable(browser, project)
            while time.monotonic() < until:
                assert says_why(browser, project)
                check_readable(browser, project)
                time.sleep(0.5)
            assert crew.told("acked") == acked, "acknowledged while nothing could be stored"
            other.execute("ROLLBACK")
        eventually(server.is_ready, 90)
        crew.more_acked(1, 90)
        assert not says_why(browser, project)
        crew.finish()
        server.stop()
        run(agree(server.data / "history.db", 1, crew.numbered(crew.told("acked"))))
