# SPDX-License-Identifier: AGPL-3.0-only
"""What operations ask of the databases does not grow with the number of tasks in a batch."""

from collections import Counter

import pytest

from queuedeck.domain.operations.freeze import freeze_portion
from queuedeck.domain.operations.progress import active_operations, step


@pytest.fixture
def reads(desk, monkeypatch):
    """Counts the questions to the history."""
    counted = Counter()
    for name in ("read_selected", "sealed_calls", "sealed_call", "find_task", "select_tasks"):
        asked = getattr(desk.history, name)

        def count(*arguments, name=name, asked=asked):
            counted[name] += 1
            return asked(*arguments)

        monkeypatch.setattr(desk.history, name, count)
    return counted


async def cost_of_batch(bench, statements, reads, count):
    await bench.tasks(count, prefix=f"{count}-")
    operation = await bench.started(question=f'state:failed "{count}-"')
    statements.clear()
    reads.clear()
    bench.clock.advance(1)
    ((found, slug),) = await active_operations(bench.desk)
    await step(bench.desk, found, slug)
    assert (await bench.tally(operation)).open == count
    await bench.press("stop", operation)
    await bench.step(3)
    return statements["INSERT"] + statements["UPDATE"], dict(reads)


async def test_batch_of_100_costs_as_many_statements_as_one_of_10(
    bench, desk, project, statements, reads
):
    desk.connect(project.id)
    small = await cost_of_batch(bench, statements, reads, 10)
    large = await cost_of_batch(bench, statements, reads, 100)
    assert small[1] == large[1] == {"read_selected": 1, "sealed_calls": 1}
    assert large[0] - small[0] <= 2


async def test_claim_reads_all_sealed_calls_at_once_and_no_more_than_it_takes(
    bench, desk, project, reads
):
    agent = desk.connect(project.id)
    await bench.tasks(120)
    await bench.started()
    await bench.step()
    reads.clear()
    assert len(await bench.claim(agent)) == 120
    assert reads["sealed_call"] == 0
    assert reads["sealed_calls"] == 3


async def test_many_waiting_for_another_agent_do_not_hold_up_one_task(bench, desk, project):
    """They are left out by the database: the limit of a claim is not used up by them."""
    await bench.tasks(120)
    other = desk.connect(project.id)
    await bench.started()
    await bench.step()
    bare = desk.connect(project.id, agent_id="d" * 32, verbs=("cancel",))
    assert await bench.claim(bare) == []
    assert len(await bench.claim(other)) == 120


async def test_portion_is_frozen_in_a_fixed_number_of_statements(
    bench, desk, project, statements, reads
):
    desk.connect(project.id)
    await bench.tasks(300)
    operation = await bench.confirm()
    statements.clear()
    reads.clear()
    assert await freeze_portion(desk, operation, project.slug) is False
    assert reads == {"select_tasks": 1}
    assert statements["INSERT"] <= 3
    assert (await bench.tally(operation)).total == 300
