# SPDX-License-Identifier: AGPL-3.0-only
"""A broker, a server with a project, and workers, shared by the tests of one file."""

import pytest
from tests.support.e2e_broker import Broker, find_or_start
from tests.support.e2e_server import Server, make_project
from tests.support.e2e_worker import app_for, close_clients, start_worker, started


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "e2e":
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind():
    """Ends the workers of tests that failed half way."""
    yield
    for process in started:
        process.kill()


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory):
    url, process = find_or_start(tmp_path_factory.mktemp("broker"))
    yield url
    close_clients()
    if process:
        process.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="module")
def broker(broker_url):
    broker = Broker(broker_url)
    yield broker
    broker.clear()


@pytest.fixture
def own_broker(broker_url):
    """A queue for one test alone."""
    broker = Broker(broker_url)
    yield broker
    broker.clear()


@pytest.fixture
def own_server(tmp_path):
    """A server for one test alone, which may treat it badly."""
    server = Server(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def place(own_broker, own_server):
    """Broker, server and project of one test alone."""
    return own_broker, own_server, make_project(own_server, "Chaos")


@pytest.fixture(scope="module")
def server(folder):
    server = Server(folder).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def project(server):
    """A project of the server with a key, and its API with an operator's token."""
    return make_project(server, "Shop")


@pytest.fixture(scope="module")
def worker(folder, broker, project):
    """A prefork worker with two children."""
    worker = start_worker(folder, broker, project.dsn)
    yield worker
    worker.stop()


@pytest.fixture(scope="session")
def app_of():
    """The Celery application on a broker, as a producer without the agent sees it."""
    return app_for


@pytest.fixture(scope="module")
def tasks(broker):
    return app_for(broker)
