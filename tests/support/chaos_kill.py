# SPDX-License-Identifier: AGPL-3.0-only
"""SIGKILL for a server under load, at random moments, also of its start."""

import os
import random
import time

import psutil
from tests.support.chaos_crew import Crew, agree

SEED = os.environ.get("CHAOS_SEED", "")
"""Give the number that a failed run printed to repeat its moments."""


def seeded_chance():
    seed = SEED or str(random.randrange(1 << 32))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


def kill_again_and_again(server, project, store, run, kills):
    """Then all that several agents sent is in the store, each event once."""
    chance = seeded_chance()
    with Crew(server.folder, server.url, project) as crew:
        for number in range(kills):
            crew.more_acked(chance.randrange(1, 600))
            time.sleep(chance.random() * 0.05)
            kill(server)
            if number % 10 == 9:
                kill_at_start(server, chance)
            server.start()
        crew.finish()
        server.stop()
        run(agree(store, 1, crew.numbered(crew.told("acked"))))


def kill(server):
    """SIGKILL for the process that holds the data; it is dead after this."""
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
