# SPDX-License-Identifier: AGPL-3.0-only
"""Real workers: one for each module of tests, and fresh ones where a test kills or limits it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.celery_worker import Worker

MakeWorker = Callable[..., Worker]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("worker")).start()
    yield worker
    worker.close()


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[MakeWorker]:
    made: list[Worker] = []

    def make(dsn: str = "", **environment: str) -> Worker:
        made.append(Worker(tmp_path, dsn, environment))
        return made[-1]

    yield make
    for worker in made:
        worker.close()
