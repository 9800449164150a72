# SPDX-License-Identifier: AGPL-3.0-only
"""A server on Postgres that is killed, and a Postgres that is: what was acknowledged is there once,
the server says what is wrong, and all goes on by itself.
"""

from types import SimpleNamespace

import pytest
from tests.support.chaos_crew import Crew, agree
from tests.support.chaos_kill import kill_again_and_again, seeded_chance
from tests.support.chaos_page import check_readable, is_unready
from tests.support.e2e_login import logged_in
from tests.support.e2e_server import Server, eventually, make_project
from tests.support.postgres import Cluster

FULL = [pytest.mark.chaos, pytest.mark.timeout(2_400)]


@pytest.fixture
def place(tmp_path):
    """A Postgres of its own, a server on it, and a project."""
    cluster = Cluster().start()
    try:
        url = cluster.database()
        server = Server(tmp_path, environment={"QUEUEDECK_DATABASE_URL": url}).start()
        project = make_project(server, "Chaos")
        yield SimpleNamespace(cluster=cluster, url=url, server=server, project=project)
        server.stop()
    finally:
        cluster.remove()


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=FULL)])
def test_killed_server_keeps_what_it_acknowledged(place, run, kills):
    kill_again_and_again(place.server, place.project, place.url, run, kills)


@pytest.mark.parametrize("restarts", [2, pytest.param(20, marks=FULL)])
def test_restarted_postgres_loses_nothing_acknowledged(place, tmp_path, run, restarts):
    server, chance = place.server, seeded_chance()
    pid = server.data_process().pid
    with Crew(tmp_path, server.url, place.project) as crew:
        for _ in range(restarts):
            crew.more_acked(chance.randrange(1, 600))
            place.cluster.restart_immediately()
            eventually(server.is_ready, 60)
            crew.more_acked(1, 90)
        crew.finish()
    assert server.data_process().pid == pid, "the server itself was restarted"
    assert server.cli("verify-audit")["verdict"] == "ok"
    server.stop()
    run(agree(place.url, 1, crew.numbered(crew.told("acked"))))


def test_postgres_that_is_away_is_told_to_everybody(place, tmp_path):
    server, project = place.server, place.project
    with (
        logged_in(server, project.slug) as browser,
        Crew(tmp_path, server.url, project, rate=300) as crew,
    ):
        crew.more_acked(200)
        place.cluster.stop("immediate")
        assert "database" in eventually(lambda: is_unready(server), 60)
        page = browser.get(f"/p/{project.slug}/tasks")
        assert (page.status_code, "database" in page.text) == (503, True)
        refused = project.api.ask("GET", "/totals", expect=503)
        assert refused["error"]["code"] == "unavailable"
        acked = crew.told("acked")
        place.cluster.start()
        eventually(server.is_ready, 60)
        crew.more_acked(1, 90)
        assert crew.told("acked") != acked
        check_readable(browser, project)
        crew.finish()
    assert "Traceback" not in server.log.read_text()
