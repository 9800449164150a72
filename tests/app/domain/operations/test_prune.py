# SPDX-License-Identifier: AGPL-3.0-only
"""Ended operations go with the tasks of their project, in slices; what goes on stays."""

import pytest
from tests.support.control import audited

from queuedeck.domain.operations import prune
from queuedeck.domain.operations.prune import delete_operations
from queuedeck.errors import NotFound
from queuedeck.history.retention import Kept

DAY_S = 86_400


@pytest.fixture
def kept(project):
    return Kept(project_id=project.id, task_days=30, payload_days=30)


async def ended(bench, desk, project, tasks=7):
    connection = desk.connect(project.id)
    await bench.tasks(tasks)
    operation = await bench.started()
    return await bench.run(operation, connection)


async def test_ended_operation_goes_in_slices_of_its_tasks(
    bench, desk, project, kept, clock, statements, monkeypatch
):
    monkeypatch.setattr(prune, "SLICE", 3)
    operation = await ended(bench, desk, project)
    log = await audited(desk.control, project.slug)
    clock.advance(30 * DAY_S + 1)
    went, cost = [], []
    for _ in range(4):
        statements.clear()
        went.append(await delete_operations(desk.control, kept, clock()))
        cost.append(statements["SELECT"] + statements["DELETE"])
    assert went == [3, 3, 2, 0]
    assert cost[0] == cost[1] == cost[2] - 1 <= 4
    assert cost[3] == 1
    with pytest.raises(NotFound):
        await bench.find(operation)
    assert await bench.outcomes(operation) == []
    assert await audited(desk.control, project.slug) == log


async def test_younger_ones_and_those_that_go_on_stay(
    bench, desk, project, other_project, kept, clock
):
    over = await ended(bench, desk, project)
    desk.connect(project.id)
    await bench.tasks(2, prefix="later")
    paused = await bench.started(question="state:failed id:later0,later1")
    await bench.press("pause", paused)
    clock.advance(29 * DAY_S)
    assert await delete_operations(desk.control, kept, clock()) == 0
    clock.advance(400 * DAY_S)
    other = Kept(project_id=other_project.id, task_days=30, payload_days=30)
    assert await delete_operations(desk.control, other, clock()) == 0
    while await delete_operations(desk.control, kept, clock()):
        pass
    assert (await bench.find(paused)).state == "paused"
    with pytest.raises(NotFound):
        await bench.find(over)
