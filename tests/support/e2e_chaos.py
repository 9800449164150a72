# SPDX-License-Identifier: AGPL-3.0-only
"""Comparing what the server stored with what the tasks wrote into Redis, after a kill."""

from collections import Counter

import pytest
from tests.support.e2e_server import eventually

OPTIONS = pytest.mark.parametrize(
    "options", [(), ("--max-tasks-per-child=50",)], ids=["lasting", "recycled"]
)
"""Options of the worker: children that stay, and children that are replaced all the time."""


def all_written(broker, count):
    eventually(lambda: len(broker.count("succeeded")) >= count, 60)


def agree(project, broker, expected):
    """Each expected task is there once, with each of its events once, and nothing was lost."""
    eventually(
        lambda: expected <= {i for i, s in project.api.states().items() if s == "succeeded"}, 30
    )
    rows = Counter(task["task_id"] for task in project.api.tasks())
    started, succeeded = broker.count("started"), broker.count("succeeded")
    for task_id in expected:
        assert rows[task_id] == 1
        assert started[task_id] == succeeded[task_id] == 1
        task = project.api.task(task_id)
        kinds = Counter(entry["kind"] for entry in task["timeline"])
        assert kinds == {"task-received": 1, "task-started": 1, "task-succeeded": 1}, task
        assert [a["times_started"] for a in task["attempts"]] == [1]
        assert not task["attempts"][0]["conflicting"]
    totals = project.api.totals()
    assert totals["lost"] == 0
    assert totals["quarantined"] == 0
