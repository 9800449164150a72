# SPDX-License-Identifier: AGPL-3.0-only
"""Fixtures that all tests may use."""

import os
import tempfile
from pathlib import Path

import pytest
from celery.result import AsyncResult
from tests.support.e2e_broker import answers
from tests.support.processes import ServerProcess
from tests.support.serving import serve

from queuedeck.demo.broker import start_broker
from queuedeck.settings import Settings

USUAL_BROKER = "redis://127.0.0.1:6379/14"


def start_own_broker():
    """The tests of engines use the Redis of this machine, or one that is started for this run."""
    if "TEST_BROKER" in os.environ or answers(USUAL_BROKER):
        return None
    folder = tempfile.TemporaryDirectory(prefix="queuedeck-tests-")
    process, url = start_broker(Path(folder.name))
    # Read by the tests' modules, and by the processes of a parallel run, which inherit it.
    os.environ["TEST_BROKER"] = url
    return folder, process


# A result that is dropped unsubscribes from its broker: in a finalizer, in whatever test runs then,
# and for 20 s each when that broker is gone. Brokers of tests come and go.
del AsyncResult.__del__

# Now, and not in `pytest_configure`: other conftest files read the variable before that runs.
OWN_BROKER = start_own_broker()


def pytest_unconfigure():
    if OWN_BROKER is not None:
        folder, process = OWN_BROKER
        process.stop()
        folder.cleanup()


REAL_PROCESSES = ("engine", "e2e", "packaging")


@pytest.hookimpl(trylast=True)  # after the folders have marked theirs
def pytest_collection_modifyitems(items):
    """A test with real processes gets a second go: a busy machine is no news about the product.

    The summary names each as RERUN: that is a defect of the test, or a rare one of the product,
    and worth a look.
    """
    for item in items:
        if any(item.get_closest_marker(name) for name in REAL_PROCESSES):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def settings(tmp_path):
    """Settings on an empty data folder of this test."""
    return Settings(data=tmp_path / "data", port=0)


@pytest.fixture
async def serving(settings):
    """The server in this test's event loop, on a real port."""
    async with serve(settings) as serving:
        yield serving


@pytest.fixture
async def project(serving):
    """A project of that server, with an agent key."""
    return await serving.project()


@pytest.fixture
def server(tmp_path):
    """A `queuedeck serve` in a process of its own; not started."""
    server = ServerProcess(tmp_path / "data")
    yield server
    if server.process and server.process.poll() is None:
        server.kill()
