# SPDX-License-Identifier: AGPL-3.0-only
"""Applications of all six engines that attach themselves, without installation and launcher."""

import pytest
from tests.support.e2e_server import eventually
from tests.support.everywhere.workers import COMMANDS, Shop


@pytest.mark.parametrize("engine", COMMANDS)
def test_application_attaches_itself(broker_url, folder, project, engine):
    shop = Shop(engine, broker_url, folder, project.dsn, by_hand=True)
    try:
        shop.send(7, "new")

        def ended():
            return project.api.tasks(f"engine:{engine} release:by-hand state:succeeded")

        [task] = eventually(ended, 60)
        whole = project.api.ask("GET", f"/tasks/{engine}/{task['task_id']}")
        seen = {event["kind"] for event in whole["timeline"]}
        assert seen >= {"task-published", "task-started", "task-succeeded"}
        assert len(shop.told()) == 1
    finally:
        shop.stop()
