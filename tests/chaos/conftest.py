# SPDX-License-Identifier: AGPL-3.0-only
"""A server that is treated badly, with a project. Long versions run with `make chaos` only."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.support.e2e_server import Server, make_project


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "chaos":
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def place(tmp_path):
    """A started server on a folder of its own, and a project."""
    server = Server(tmp_path).start()
    yield SimpleNamespace(server=server, project=make_project(server, "Chaos"), folder=tmp_path)
    server.stop()


@pytest.fixture
def run():
    """Runs a coroutine to its end."""
    return asyncio.run
