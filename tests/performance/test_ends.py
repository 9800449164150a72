# SPDX-License-Identifier: AGPL-3.0-only
"""The benchmarks against the real server run to their end and find nothing lost; no figure of such
a short run means anything.
"""

import json
import os
import subprocess
import sys

import pytest
from tests.support.e2e_worker import REPOSITORY

pytestmark = pytest.mark.e2e


def bench(name, *options):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/app:{REPOSITORY}/agent"},
        capture_output=True,
        text=True,
        timeout=100,
    )


def report(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_ingest_stores_all_that_was_acknowledged():
    found = report(bench("ingest", "--seconds", "1", "--block", "200", "--cut-every", "0.3"))
    assert found["acked_events"] == found["stored_events"] > 0
    assert (found["lost"], found["duplicated"], found["violations"]) == (0, 0, [])
    assert found["cuts"] > 0
    assert found["timelines_read"] > 0


def test_ingest_in_process_counts_its_events():
    assert report(bench("ingest", "--in-process", "--tasks", "400"))["events"] == 1_604


def test_reads_measures_what_exists():
    found = report(bench("reads", "--tasks", "2000", "--repeats", "2", "--rate", "200"))
    assert {"first page", "task and its timeline", "page: tasks"} <= found["queries"].keys()


def test_live_hears_of_events():
    found = report(bench("live", "--browsers", "2", "--rate", "100", "--seconds", "2"))
    assert found["streams_only"]["hint_ms"]["p50"] > 0
    assert found["with_task_list_open"]["pages_per_second"] > 0


@pytest.mark.parametrize("name", ["ingest", "reads"])
def test_postgres_is_refused_while_there_is_no_store_for_it(name):
    done = bench(name, "--database", "postgres")
    assert done.returncode == 1
    assert "Postgres is not supported yet" in done.stderr
