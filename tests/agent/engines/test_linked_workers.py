# SPDX-License-Identifier: AGPL-3.0-only
"""Each worker process of Dramatiq and taskiq has a link of its own, and acts on its commands."""

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.support import dramatiq_worker, taskiq_worker
from tests.support.celery_worker import eventually
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = pytest.mark.engine


def text_of(edge: FarEdge) -> str:
    """The DSN as an operator has it."""
    dsn = edge.dsn()
    seal, root = (
        base64.urlsafe_b64encode(one).decode().rstrip("=") for one in (dsn.seal.key, dsn.root_key)
    )
    place = f"{dsn.agent_key}@127.0.0.1:{edge.port}/{dsn.project}"
    return f"http://{place}?seal={dsn.seal.kid}.{seal}&root={root}"


@pytest.mark.parametrize("library", [dramatiq_worker, taskiq_worker], ids=["dramatiq", "taskiq"])
def test_worker_process_reports_and_retries(library: Any, edge: FarEdge, tmp_path: Path) -> None:
    worker = library.Worker(tmp_path, {"QUEUEDECK_DSN": text_of(edge)})
    try:
        worker.start()
        said = eventually(lambda: [one for one in edge.hellos if one.engines])[-1]
        task_id = worker.send("add", 20, 3)
        (started,) = eventually(lambda: edge.events(wire.TaskStarted))
        assert said.engines[0].role == "worker"
        assert said.engines[0].source == started.source
        edge.send_command(
            wire.CommandBody(
                "0" * 32, said.agent_id, said.nonce, "shop", "retry", started.source, task_id,
                started.name, 60, sealed=started.sealed,
            )
        )  # fmt: skip
        (done,) = eventually(lambda: edge.events(wire.CommandDone))
        assert done.verified
        eventually(lambda: len(edge.events(wire.TaskSucceeded)) == 2)
        results = {one.task_id: one.result for one in edge.events(wire.TaskSucceeded)}
        assert results == {task_id: b"23", done.new_task_id: b"23"}
        published = [one.retry_of for one in edge.events(wire.TaskPublished)]
        assert published == [task_id]
    finally:
        worker.close()
