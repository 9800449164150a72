# SPDX-License-Identifier: AGPL-3.0-only
"""The benchmark of what the agent costs a worker runs to its end, with a server and without one; no
figure of such a short run means anything.
"""

import json
import os
import subprocess
import sys

import pytest
from tests.support.e2e_worker import REPOSITORY

from queuedeck.demo.broker import start_broker

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """One of its own: the benchmark empties the database that it uses."""
    process, url = start_broker(tmp_path_factory.mktemp("broker"))
    yield url
    process.stop()


def overhead(broker, *options):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead", "--tasks", "30", "--pairs", "1", *options],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/app:{REPOSITORY}/agent",
            "BENCH_BROKER": broker,
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_hooks_are_timed_apart(broker):
    found = overhead(broker, "--engine", "taskiq", "--timed", "1")
    assert found["bare_us_per_task"] > 0
    assert found["link_us"] > 0
    assert found["hooks_us"]["step run_task"] > 0
    assert found["with_bare_producer"]["hooks_us"]["step run_task"] > 0
    assert found["hook_and_link_us"] == pytest.approx(found["hook_us"] + found["link_us"], abs=0.2)


def test_forking_worker_is_measured_with_a_silent_server(broker):
    found = overhead(broker, "--engine", "rq", "--server", "blackholed")
    assert found["added_in_children_us"] != 0
    assert len(found["memory_mb"]["after"]) == 1
    assert "hook_us" not in found
