# SPDX-License-Identifier: AGPL-3.0-only
"""The power goes: only what reached the disk is left. The disk is an image, mounted as a loop
device; its copy is what a machine would find when it comes up again.
"""

import os
import signal
import sqlite3
import sys
from contextlib import closing

import pytest
from tests.support.chaos_crew import Crew, acknowledged_are_stored
from tests.support.chaos_disk import Image
from tests.support.e2e_server import Server, make_project
from tests.support.e2e_worker import REPOSITORY

FULL = [pytest.mark.chaos, pytest.mark.timeout(1_500)]
LAX = (sys.executable, "-m", "tests.support.chaos_lax_server")
MOST_LAX_CUTS = 10


@pytest.mark.parametrize("cuts", [2, pytest.param(30, marks=FULL)])
def test_power_cut_loses_nothing_acknowledged(tmp_path, run, cuts):
    for missing in missing_after_cuts(tmp_path, run, cuts):
        assert not missing


def test_the_rig_sees_what_is_lost_without_waiting_for_the_disk(tmp_path, run):
    assert any(missing_after_cuts(tmp_path, run, MOST_LAX_CUTS, command=LAX))


def missing_after_cuts(folder, run, cuts, **server_options):
    """Of each power cut under load: the tasks of which something acknowledged is not there."""
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/app:{REPOSITORY}/agent"}
    with Image(folder, folder / "data") as image:
        server = Server(folder, environment=environment, **server_options).start()
        try:
            with Crew(folder, server.url, make_project(server, "Chaos"), rate=300) as crew:
                for number in range(cuts):
                    crew.more_acked(200 + 97 * (number % 7))
                    yield missing_after_cut(image, server, crew, run)
        finally:
            server.stop()


def missing_after_cut(image, server, crew, run):
    victim = server.data_process()
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        acked = crew.told("acked")
        with image.without_power() as left:
            path = left / "history.db"
            with closing(sqlite3.connect(path)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return run(acknowledged_are_stored(path, 1, crew.numbered(acked)))
    finally:
        os.kill(victim.pid, signal.SIGCONT)
