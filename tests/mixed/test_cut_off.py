# SPDX-License-Identifier: AGPL-3.0-only
"""Celery workers on several hosts, told apart by their spools: one is cut off from the server while
its task runs, another one is gone for good in the middle of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.harness import call, eventually, key
from tests.mixed.engines import CeleryMixed
from tests.support.chaos_proxy import Cable
from tests.support.e2e_server import Server, make_project

pytestmark = pytest.mark.engine

AWAY_S = 4
RUNS_S = 30
"""Long enough that the server has asked of the task several times, after `AWAY_S`."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    quick = {"QUEUEDECK_RECONCILE_EVERY_S": "1", "QUEUEDECK_RECONCILE_AWAY_S": str(AWAY_S)}
    server = Server(tmp_path, environment=quick).start()
    yield server
    server.stop()


@pytest.fixture
def cable(server: Server) -> Iterator[Cable]:
    with Cable(server.port) as cable:
        yield cable


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[CeleryMixed]]:
    """Three workers on one broker, each with a spool and a queue of its own."""
    places = [tmp_path / f"host-{number}" for number in range(3)]
    for place in places:
        place.mkdir()
    made = [CeleryMixed(place) for place in places]
    yield made
    for one in made:
        one.close()


def test_cut_network_is_no_death_and_a_host_that_is_gone_is(
    server: Server, cable: Cable, hosts: list[CeleryMixed]
) -> None:
    project = make_project(server, "Two hosts")
    cut_off, gone, witness = hosts
    gone.dsn = witness.dsn = project.dsn
    cut_off.dsn = project.dsn.replace(server.url[7:], cable.url[7:])
    assert cut_off.dsn != project.dsn
    names = {cut_off: key(), gone: key()}
    ids: dict[CeleryMixed, str] = {}
    for worker, name in names.items():
        worker.start()
        ids[worker] = worker.send_attached(call("sleep", name, RUNS_S))
        eventually(lambda: worker.told("sleeps", name))  # noqa: B023 - called at once
    running, lost = ids[cut_off], ids[gone]
    eventually(lambda: project.api.states() == {running: "running", lost: "running"})

    cable.pull_out()
    gone.kill()
    witness.start()

    def judged(task_id: str) -> list[str]:
        timeline = project.api.task(task_id)["timeline"]
        return [one["kind"] for one in timeline if one["kind"] == "task-checked"]

    eventually(lambda: project.api.states() == {running: "running", lost: "lost"}, RUNS_S)
    eventually(lambda: judged(running))  # asked, and answered by the witness: it runs
    assert project.api.states()[running] == "running"

    cable.plug_in()
    eventually(lambda: project.api.states() == {running: "succeeded", lost: "lost"}, RUNS_S + 60)
    assert len(cut_off.told("sleeps", names[cut_off])) == 1
    kinds = [one["kind"] for one in project.api.task(running)["timeline"]]
    assert "task-lost" not in kinds
