# SPDX-License-Identifier: AGPL-3.0-only
"""What the shop writes down for the count at the end: which tasks were sent, which ran, and how
they ended, as sets of ids in the broker, apart for each engine.

Every part of the shop notes it by the hooks of its own engine. `queuedeck.demo.count` reads it.
"""

import contextlib
import os
import random
import time
from collections.abc import Generator

from redis import Redis

BROKER = os.environ.get("SHOP_BROKER", "redis://127.0.0.1:6379/0")

_clients: dict[int, Redis] = {}


def broker() -> Redis:
    """This process's connection for the notes; a forked child makes its own."""
    pid = os.getpid()
    if pid not in _clients:
        _clients[pid] = Redis.from_url(BROKER, decode_responses=True)
    return _clients[pid]


def work(least_s: float, most_s: float) -> None:
    """Stands for what a real task does."""
    time.sleep(duration_s(least_s, most_s))


def duration_s(least_s: float, most_s: float) -> float:
    return random.uniform(least_s, most_s)  # noqa: S311 - no secret


class Notes:
    """Those of one engine: sets, so that noting the same thing twice counts once."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def sent(self, task_id: str) -> None:
        """Somebody handed it to the broker. An engine's own retry keeps the id."""
        self._add("sent", task_id)

    def ran(self, task_id: str) -> None:
        """Its code began to run, or began again."""
        if not self._add("ran", task_id):
            self._add("ran_again", task_id)

    def ended(self, task_id: str, well: bool) -> None:
        """An attempt ended. Whoever fails and succeeds later has succeeded."""
        self._add("succeeded" if well else "failed", task_id)

    @contextlib.contextmanager
    def running(self, task_id: str) -> Generator[None]:
        """Around the code of a task, where an engine has no hooks for it."""
        self.ran(task_id)
        try:
            yield
        except BaseException:
            self.ended(task_id, well=False)
            raise
        self.ended(task_id, well=True)

    def is_down(self, what: str, each_s: int) -> bool:
        """Whether nobody has asked this for so long: how a part of the world is down for the first
        who needs it, up for whoever comes again, and down again later."""
        return bool(broker().set(f"demo:{self._engine}:down:{what}", 1, nx=True, ex=each_s))

    def _add(self, kind: str, member: str) -> bool:
        return bool(broker().sadd(f"demo:{self._engine}:{kind}", member))
