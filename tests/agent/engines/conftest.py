# SPDX-License-Identifier: AGPL-3.0-only
"""Real workers: one for each module of tests, and fresh ones where a test kills or limits it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import arq_worker, dramatiq_worker, huey_worker, taskiq_worker
from tests.support.celery_worker import Worker

MakeWorker = Callable[..., Worker]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("worker")).start()
    yield worker
    worker.close()


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[MakeWorker]:
    """Of Celery."""
    yield from _closed(lambda dsn="", **environment: Worker(tmp_path, dsn, environment))


@pytest.fixture
def make_dramatiq(tmp_path: Path) -> Iterator[dramatiq_worker.MakeWorker]:
    yield from _closed(lambda **environment: dramatiq_worker.Worker(tmp_path, environment))


@pytest.fixture
def make_huey(tmp_path: Path) -> Iterator[huey_worker.MakeWorker]:
    yield from _closed(
        lambda storage="redis", **environment: huey_worker.Worker(tmp_path, storage, **environment)
    )


@pytest.fixture
def make_arq(tmp_path: Path) -> Iterator[arq_worker.MakeWorker]:
    yield from _closed(lambda **environment: arq_worker.Worker(tmp_path, **environment))


@pytest.fixture
def make_taskiq(tmp_path: Path) -> Iterator[taskiq_worker.MakeWorker]:
    yield from _closed(lambda **environment: taskiq_worker.Worker(tmp_path, environment))


def _closed(make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """What makes workers, all of which end with the test."""
    made: list[Any] = []

    def keep(*args: Any, **named: Any) -> Any:
        made.append(make(*args, **named))
        return made[-1]

    yield keep
    for worker in made:
        worker.close()
