# SPDX-License-Identifier: AGPL-3.0-only
"""Real workers of the engines count their own queues for the server that asks over the link."""

from pathlib import Path
from typing import Any

import pytest
from tests.agent.engines.test_linked_workers import text_of
from tests.support import arq_worker, dramatiq_worker, huey_worker, taskiq_worker
from tests.support.celery_worker import eventually
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = pytest.mark.engine

MAKE: dict[str, Any] = {
    "dramatiq": lambda folder, dsn: dramatiq_worker.Worker(folder, {"QUEUEDECK_DSN": dsn}),
    "taskiq": lambda folder, dsn: taskiq_worker.Worker(folder, {"QUEUEDECK_DSN": dsn}),
    "huey": lambda folder, dsn: huey_worker.Worker(folder, QUEUEDECK_DSN=dsn),
    "arq": lambda folder, dsn: arq_worker.Worker(folder, QUEUEDECK_DSN=dsn),
}


@pytest.mark.parametrize("engine", MAKE)
def test_worker_counts_what_it_consumes(engine: str, edge: FarEdge, tmp_path: Path) -> None:
    worker = MAKE[engine](tmp_path, text_of(edge))
    try:
        worker.start()
        said = eventually(lambda: [i for h in edge.hellos for i in h.engines if i.counts])[-1]
        assert (said.engine, said.no_counts) == (engine, "")
        connection = edge.connections[-1]
        connection.send(wire.encode(wire.Observe((wire.Watch(said.source),), 1)))
        found = eventually(lambda: [one for one in edge.snapshots if one.queues])[-1]
        depths = {one.name: one.waiting for one in found.queues}
        assert found.trouble == ""
        assert depths[said.queues[0]] == 0
        connection.send(wire.encode(wire.Observe((), 1)))
    finally:
        worker.close()
