# SPDX-License-Identifier: AGPL-3.0-only
"""The disk of the server fills up: nothing is acknowledged, people can read what is wrong, and all
goes on by itself once there is room.
"""

import pytest
from tests.support.chaos_crew import Crew, agree
from tests.support.chaos_disk import fill, small_disk
from tests.support.chaos_page import check_readable, is_unready, says_why
from tests.support.e2e_login import logged_in
from tests.support.e2e_server import Server, eventually, make_project

FULL = [pytest.mark.chaos, pytest.mark.timeout(900)]
DISK_MB = 96


@pytest.fixture
def place(tmp_path):
    """A server whose data folder is a small disk."""
    with small_disk(tmp_path / "data", DISK_MB):
        server = Server(tmp_path).start()
        yield server
        server.stop()


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=FULL)])
def test_full_disk_is_told_and_survived(place, tmp_path, run, times):
    project, unused = make_project(place, "Chaos"), make_project(place, "Other")
    with (
        logged_in(place, project.slug) as browser,
        Crew(tmp_path, place.url, project, rate=300) as crew,
    ):
        for _ in range(times):
            crew.more_acked(200)
            ballast = fill(place.data)
            refused = eventually(lambda: is_unready(place), 60)
            assert "full" in refused
            eventually(lambda: says_why(browser, project), 60)
            check_readable(browser, project)
            unused.api.ask("GET", "/totals")  # Its token was never used: that cannot be noted now.
            ballast.unlink()
            eventually(place.is_ready, 90)
            crew.more_acked(1, 90)
            assert not says_why(browser, project)
        crew.finish()
        place.stop()
        run(agree(place.data / "history.db", 1, crew.numbered(crew.told("acked"))))
