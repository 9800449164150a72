# SPDX-License-Identifier: AGPL-3.0-only
"""A spool that cannot be made, or has no room: the worker goes on, and its log says so."""

import contextlib
import subprocess

import pytest
from tests.support.e2e_server import eventually, make_project
from tests.support.e2e_worker import RESULT_S, agent_lines, app_for, start_worker

TASKS = 600
LATE = 10
MOST_LATE = 150
MOST_LANES = 20


@pytest.fixture
def small_folder(tmp_path):
    """Makes a folder on a file system of a given size."""
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount the small file system that this test fills")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def test_spool_that_cannot_be_made_is_said(own_broker, project, tmp_path):
    """A file where the folder should be refuses even root, as a read-only disk does others."""
    (tmp_path / "file").write_text("in the way")
    spool = {"QUEUEDECK_SPOOL": str(tmp_path / "file/spool")}
    worker = start_worker(tmp_path, own_broker, project.dsn, environment=spool)
    sent = app_for(own_broker).add.delay(3, 4)
    assert sent.get(timeout=RESULT_S) == 7
    eventually(lambda: project.api.states().get(sent.id) == "succeeded", 20)
    worker.stop()
    assert "memory" in agent_lines(worker.log.read_text())


def test_full_spool_folder_harms_nobody(own_broker, project, tmp_path, small_folder):
    spool = {"QUEUEDECK_SPOOL": str(small_folder("32k"))}
    worker = start_worker(tmp_path, own_broker, project.dsn, environment=spool)
    tasks = app_for(own_broker)
    sent = [tasks.add.delay(n, n) for n in range(50)]
    assert [r.get(timeout=RESULT_S) for r in sent] == [2 * n for n in range(50)]
    worker.stop()
    assert "spool" in agent_lines(worker.log.read_text())


def test_spool_that_fills_up_says_what_it_dropped(own_broker, own_server, tmp_path, small_folder):
    """The server is away for long: what finds no room is counted, and everything adds up."""
    project = make_project(own_server, "Full")
    worker = start_worker(
        tmp_path,
        own_broker,
        project.dsn,
        environment={"QUEUEDECK_SPOOL": str(small_folder("1m"))},
    )
    eventually(lambda: "connected to" in worker.log.read_text())
    own_server.kill()
    tasks = app_for(own_broker)
    sent = [tasks.odd.delay("x" * 2000) for _ in range(TASKS)]
    assert [r.get(timeout=60) for r in sent] == ["str"] * TASKS
    own_server.start()
    # What a process had to drop it says with its next event that finds room. Three events of each
    # task; beside them each lane says once which source it speaks of.
    late = 0
    while project.api.totals()["lost"] == 0 or _produced(project) < 3 * (TASKS + late):
        assert late < MOST_LATE, f"{_produced(project)} of {3 * (TASKS + late)} accounted for"
        sent = [tasks.nap.delay(0.2) for _ in range(LATE)]
        assert [r.get(timeout=RESULT_S) for r in sent] == [0.2] * LATE
        late += LATE
        with contextlib.suppress(AssertionError):
            eventually(lambda late=late: _produced(project) >= 3 * (TASKS + late), 5)
    worker.stop()
    assert _produced(project) - 3 * (TASKS + late) <= MOST_LANES


def _produced(project):
    totals = project.api.totals()
    return totals["events"] + totals["lost"]
