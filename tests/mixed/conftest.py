# SPDX-License-Identifier: AGPL-3.0-only
"""A real server for the loads of this folder, a project and a worker for each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mixed.engines import ENGINES, Mixed
from tests.support.e2e_server import Server, make_project

Place = Callable[[str], tuple[Mixed, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    quick = {"QUEUEDECK_RECONCILE_EVERY_S": "1"}
    server = Server(tmp_path_factory.mktemp("server"), environment=quick).start()
    yield server
    server.stop()


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Iterator[Place]:
    """Gives a worker of an engine, not started, and the API of its project."""
    made: list[Mixed] = []

    def make(engine: str) -> tuple[Mixed, Any]:
        project = make_project(server, f"Mixed {engine} {tmp_path.name}")
        worker = ENGINES[engine](tmp_path)
        worker.dsn = project.dsn
        made.append(worker)
        return worker, project.api

    yield make
    for one in made:
        one.close()
