# SPDX-License-Identifier: Apache-2.0
"""What the host allows. A stolen server cannot make an agent do more than this."""

import fnmatch
import time
from collections import deque
from collections.abc import Callable

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused

MINUTE_S = 60.0
_OF_TASKS = frozenset(
    ("retry", "edit", "cancel", "terminate", "priority", "move", "reconcile", "submit")
)
_OF_ALL_TASKS = frozenset(("purge", "requeue"))
_OF_A_NAME = frozenset(("retry", "edit", "submit"))
"""These run something: it must be said what."""


class Policy:
    """What is allowed, task names and a rate, from the host's own settings."""

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
        word = wire.VERBS.get(command.verb)
        if word is None:
            raise CommandRefused(
                "unsupported", f"This agent does not know `{command.verb[:40]}`; a newer one may."
            )
        if word not in self.allow:
            allowed = ", ".join(self.allow) or "nothing"
            raise CommandRefused(
                "refused",
                f"This host does not allow `{command.verb}`: its QUEUEDECK_ALLOW is {allowed}. "
                f"Add `{word}` there and restart the worker.",
            )
        if command.verb in _OF_A_NAME and not command.task_name:
            raise CommandRefused("invalid", f"`{command.verb}` does not say which task to run.")
        # Of several tasks each is checked by its own name, when its turn comes.
        of_several = command.verb == "reconcile" and bool(command.details.tasks)
        if (command.verb in _OF_TASKS and not of_several) or command.task_name:
            self.check_task(command.task_name)
        whole = command.verb == "purge" or not command.task_name
        if command.verb in _OF_ALL_TASKS and whole and not self.allows_all_tasks:
            raise CommandRefused(
                "refused",
                f"`{command.verb}` takes whatever is there, and this host allows commands only on "
                f"some tasks: its QUEUEDECK_ALLOW_TASKS is {', '.join(self.tasks)}.",
            )
        self._take_turn()

    @property
    def allows_all_tasks(self) -> bool:
        return "*" in self.tasks

    def allows_task(self, name: str) -> bool:
        """Whether commands may touch tasks of that name."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.tasks)

    def check_task(self, name: str) -> None:
        """Raises `CommandRefused` unless commands may touch tasks of that name. Adapters ask again
        for the name that the broker has: what a command says of an id may be a lie."""
        if not self.allows_task(name):
            raise CommandRefused(
                "refused",
                f"This host does not allow commands on `{name[:200]}`: its "
                f"QUEUEDECK_ALLOW_TASKS is {', '.join(self.tasks)}.",
            )

    def _take_turn(self) -> None:
        now = self._clock()
        while self._acted and now - self._acted[0] >= MINUTE_S:
            self._acted.popleft()
        if len(self._acted) >= self.rate:
            raise CommandRefused(
                "rate",
                f"This agent carries out at most {self.rate} commands a minute "
                "(QUEUEDECK_COMMAND_RATE). Try again in a minute.",
            )
        self._acted.append(now)
