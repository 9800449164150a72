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
from tests.support.postgres import server_url

pytestmark = pytest.mark.e2e


BOTH = pytest.mark.parametrize("database", ["sqlite", "postgres"])


def where(database):
    """The options that say where the data is."""
    if database == "sqlite":
        return ("--database", "sqlite")
    return ("--database", "postgres", "--postgres", server_url())


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


@BOTH
def test_ingest_stores_all_that_was_acknowledged(database):
    short = ("--seconds", "1", "--block", "200", "--cut-every", "0.3")
    found = report(bench("ingest", *where(database), *short))
    assert found["acked_events"] == found["stored_events"] > 0
    assert (found["lost"], found["duplicated"], found["violations"]) == (0, 0, [])
    assert found["cuts"] > 0
    assert found["timelines_read"] > 0


def test_ingest_in_process_counts_its_events():
    assert report(bench("ingest", "--in-process", "--tasks", "400"))["events"] == 1_604


@BOTH
def test_reads_measures_what_exists(database):
    short = ("--tasks", "2000", "--repeats", "2", "--rate", "200")
    found = report(bench("reads", *where(database), *short))
    assert {"first page", "task and its timeline", "page: tasks"} <= found["queries"].keys()


def test_live_hears_of_events():
    found = report(bench("live", "--browsers", "2", "--rate", "100", "--seconds", "2"))
    assert found["streams_only"]["hint_ms"]["p50"] > 0
    assert found["with_task_list_open"]["pages_per_second"] > 0
