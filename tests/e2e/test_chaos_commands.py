# SPDX-License-Identifier: AGPL-3.0-only
"""The server is killed with commands on their way: none is in doubt, each is carried out once. What
ran is the tasks' own record.
"""

from collections import Counter

import pytest
from tests.support.chaos_proxy import Void
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import start_worker

TASKS = 30
FILTER = "state:failed task:e2e.mended"


@pytest.mark.parametrize(
    "lost", ["server", "agent"], ids=["before an agent heard them", "before their answers came"]
)
def test_commands_on_their_way_at_a_kill_are_carried_out_once(place, app_of, tmp_path, lost):
    broker, server, project = place
    with Void(server.port) as network:
        dsn = project.dsn.replace(server.url.partition("//")[2], network.url.partition("//")[2])
        assert dsn != project.dsn
        worker = start_worker(tmp_path, broker, dsn)
        tasks = app_of(broker)
        failed = {tasks.mended.delay(number).id for number in range(TASKS)}
        eventually(lambda: len(project.api.tasks(FILTER)) == TASKS, 60)
        broker.client.set(f"{broker.prefix}mended", 1)
        body = {"verb": "retry", "q": FILTER, "rate": 500, "reason": "the bank was away"}
        made = project.api.ask("POST", "/operations", json=body, expect=202)["operation"]
        network.lost = lost
        eventually(lambda: _operation(project, made)["counts"]["open"] == TASKS, 30)
        again = 0 if lost == "server" else TASKS
        eventually(lambda: len(_runs(broker)) == TASKS + again, 30)
        server.kill()
        network.lost = ""
        server.start()
        ended = eventually(lambda: _finished(project, made), 120)
        assert (ended["counts"]["done"], ended["counts"]["unknown"]) == (TASKS, 0)
        eventually(lambda: len(_runs(broker)) == 2 * TASKS, 30)
        runs = _runs(broker)
        assert set(runs.values()) == {1}
        retried = [task["retry_of"] for task in project.api.tasks("task:e2e.mended")]
        assert sorted(one for one in retried if one) == sorted(failed)
        worker.stop()


def _runs(broker):
    """How often each task ran, as it wrote itself."""
    log = broker.log()
    return Counter(
        line["id"] for line in log if (line["what"], line["name"]) == ("started", "e2e.mended")
    )


def _operation(project, made):
    return project.api.ask("GET", f"/operations/{made['id']}")["operation"]


def _finished(project, made):
    found = _operation(project, made)
    return found if found["state"] == "finished" else None
