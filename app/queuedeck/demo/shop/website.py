# SPDX-License-Identifier: AGPL-3.0-only
"""The website of the shop: one process that keeps sending tasks to all engines until SIGTERM.

`python -m website [--later-s SECONDS] ENGINE...`. One round is about a second.
"""

import argparse
import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any

log = logging.getLogger("website")

ROUND_S = 1.0
PARTS = {
    "celery": "orders",
    "rq": "invoices",
    "dramatiq": "mail",
    "huey": "stock",
    "arq": "webhooks",
    "taskiq": "recommendations",
}
"""Engine -> module of the shop."""

Send = Callable[[int, float], Awaitable[None] | None]


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="website")
    parser.add_argument("--later-s", type=float, default=60.0)
    parser.add_argument("engines", nargs="+")
    options = parser.parse_args()
    asyncio.run(sell(options.engines, options.later_s))


async def sell(engines: list[str], later_s: float) -> None:
    """Sends rounds until SIGTERM. The round in hand is finished, so nothing is half sent."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as closing:
        opened = [await _open(engine, closing) for engine in engines]
        parts = [send for send in opened if send is not None]
        for number in itertools.count(1):
            for send in parts:
                sending = send(number, later_s)
                if sending is not None:
                    await sending
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), ROUND_S)
                return


async def _open(engine: str, closing: contextlib.AsyncExitStack) -> Send | None:
    """The function that sends a round to this engine, None when the engine cannot be imported (its
    worker cannot run either). What it opens is closed at the end."""
    try:
        part: Any = import_module(PARTS[engine])
    except ImportError:
        log.exception("The website goes on without %s.", engine)
        return None
    if engine == "arq":
        redis = part.connect()
        closing.push_async_callback(redis.aclose, close_connection_pool=True)
        return partial(part.send, redis)
    if engine == "taskiq":
        await part.broker.startup()
        closing.push_async_callback(part.broker.shutdown)
    return part.send


if __name__ == "__main__":
    main()
