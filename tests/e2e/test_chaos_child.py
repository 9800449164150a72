# SPDX-License-Identifier: AGPL-3.0-only
"""A pool child is killed at work: its parent tells, and nothing else is touched."""

from tests.support.e2e_chaos import OPTIONS, agree, all_written
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import pool_children, start_worker


@OPTIONS
def test_pool_child_killed_at_work_is_told_by_its_parent(place, app_of, tmp_path, options):
    broker, _server, project = place
    worker = start_worker(tmp_path, broker, project.dsn, *options)
    tasks = app_of(broker)
    sent = [tasks.nap.delay(0.05).id for _ in range(120)]
    killed = set()
    for _ in range(3):
        all_written(broker, 25 * (len(killed) + 1))
        killed.add(_kill_a_child_at_work(worker, broker))
    eventually(lambda: len(_final(project, sent)) == len(sent), 60)
    states = project.api.states()
    lost = {i for i in sent if states[i] == "lost"}
    assert lost <= killed
    assert {i for i in sent if states[i] == "succeeded"} == set(sent) - lost
    agree(project, broker, set(sent) - lost)
    worker.stop()


def _kill_a_child_at_work(worker, broker):
    """SIGKILL for the pool child that runs a task now; the id of that task."""
    children = {child.pid: child for child in pool_children(worker)}

    def busy():
        ended = broker.count("succeeded")
        newest = {x["pid"]: x["id"] for x in broker.log() if x["what"] == "started"}
        return next(((p, i) for p, i in newest.items() if p in children and not ended[i]), None)

    pid, task_id = eventually(busy, every=0.005)
    children[pid].kill()
    return task_id


def _final(project, ids):
    states = project.api.states()
    return [i for i in ids if states.get(i) in ("succeeded", "failed", "lost")]
