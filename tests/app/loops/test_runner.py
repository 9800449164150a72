# SPDX-License-Identifier: AGPL-3.0-only
"""Background work: rounds come again, also after one that failed, until the server stops."""

import asyncio

from tests.support.serving import eventually

from queuedeck.errors import Unavailable
from queuedeck.loops.runner import Runner


async def test_round_that_fails_is_followed_by_another(caplog):
    rounds = []

    async def work():
        rounds.append(1)
        if len(rounds) == 1:
            raise RuntimeError("first round")

    runner = Runner()
    runner.start("test", 0.001, work)
    await eventually(lambda: len(rounds) > 2)
    await runner.stop()
    assert "The loop 'test' failed" in caplog.text


async def test_store_that_is_away_is_told_once(caplog):
    rounds = []

    async def work():
        rounds.append(1)
        raise Unavailable("The database cannot answer now.")

    runner = Runner()
    runner.start("test", 0.001, work)
    await eventually(lambda: len(rounds) > 3)
    await runner.stop()
    assert caplog.text.count("The loop 'test' waits: The database cannot answer now.") == 1
    assert "Traceback" not in caplog.text


async def test_stop_ends_all_loops():
    rounds = []

    async def work():
        rounds.append(1)

    runner = Runner()
    runner.start("test", 0.001, work)
    await eventually(lambda: rounds)
    await runner.stop()
    after = len(rounds)
    await asyncio.sleep(0.02)
    assert len(rounds) == after
