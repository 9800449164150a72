# SPDX-License-Identifier: AGPL-3.0-only
"""The process that holds the database is killed at random moments under load: what it has
acknowledged is there, once, and every task is in the state that all events together give it.
"""

import os
import random
import time

import psutil
import pytest
from tests.support.chaos_crew import Crew, agree

SEED = os.environ.get("CHAOS_SEED", "")
"""Give the number that a failed run printed to repeat its moments."""
FULL = [pytest.mark.chaos, pytest.mark.timeout(2_400)]


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=FULL)])
def test_killed_server_keeps_what_it_acknowledged(place, run, kills):
    seed = SEED or str(random.randrange(1 << 32))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    with Crew(place.folder, place.server.url, place.project) as crew:
        for number in range(kills):
            crew.more_acked(chance.randrange(1, 600))
            time.sleep(chance.random() * 0.05)
            kill(place.server)
            if number % 10 == 9:
                kill_at_start(place.server, chance)
            place.server.start()
        crew.finish()
        place.server.stop()
        run(agree(place.server.data / "history.db", 1, crew.numbered(crew.told("acked"))))


def kill(server):
    """SIGKILL for the process that holds the files; it is dead after this."""
    victim = server.data_process()
    server.kill()
    assert not victim.is_running(), "it survived"
    assert psutil.Process().children(recursive=True).count(victim) == 0


def kill_at_start(server, chance):
    """SIGKILL for a server that comes up, wherever it is."""
    server.start(wait=False)
    time.sleep(chance.random() * 0.8)
    victim = psutil.Process(server.process.pid)
    server.process.kill()
    assert not victim.is_running(), "it survived"
