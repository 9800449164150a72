# SPDX-License-Identifier: Apache-2.0
"""What the host allows. A stolen server cannot make an agent do more than this."""

import fnmatch
import time
from collections import deque
from collections.abc import Callable

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused

MINUTE_S = 60.0


class Policy:
    """Verbs, task names and a rate, from the host's own settings."""

    def __init__(
        self,
        allow: tuple[str, ...],
        tasks: tuple[str, ...],
        rate: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.allow = allow
        self.tasks = tasks
        self.rate = rate
        self._clock = clock
        self._acted: deque[float] = deque()

    def check(self, command: wire.CommandBody) -> None:
        """Raises `CommandRefused` unless the host permits the command now; counts it if it does."""
        if command.verb not in self.allow or command.verb == "observe":
            allowed = ", ".join(self.allow) or "nothing"
            raise CommandRefused(
                "refused",
                f"This host does not allow `{command.verb}`: its QUEUEDECK_ALLOW is {allowed}. "
                "Add the verb there and restart the worker.",
            )
        if not any(fnmatch.fnmatchcase(command.task_name, pattern) for pattern in self.tasks):
            raise CommandRefused(
                "refused",
                f"This host does not allow commands on `{command.task_name}`: its "
                f"QUEUEDECK_ALLOW_TASKS is {', '.join(self.tasks)}.",
            )
        self._take_turn()

    def _take_turn(self) -> None:
        now = self._clock()
        while self._acted and now - self._acted[0] >= MINUTE_S:
            self._acted.popleft()
        if len(self._acted) >= self.rate:
            raise CommandRefused(
                "refused",
                f"This host carries out at most {self.rate} commands a minute "
                "(QUEUEDECK_COMMAND_RATE). Try again in a minute.",
            )
        self._acted.append(now)
