# SPDX-License-Identifier: AGPL-3.0-only
"""What a person would do in the browser, for runs that nobody watches: retry a few failed tasks
and cancel a few that began once and wait for their next attempt, through the public API.
"""

from collections.abc import Callable
from typing import Any

from queuedeck.clock import SECOND_US, now_us
from queuedeck.demo.client import Client
from queuedeck.errors import Unavailable

RETRIES = {"shop.sync_stock": 3, "shop.capture_payment": 1}
"""How many failed tasks of each name are retried."""
CANCELLATIONS = 3
CANCEL_NAME = "shop.send_reminder"
CANCEL_AHEAD_US = 3 * SECOND_US
"""A task is cancelled only when it is not due before this, so that it is not a race."""
HELD_AFTER_US = SECOND_US
"""And only when it was seen waiting this long: time for a worker to take the next attempt."""
ENDED = frozenset({"done", "failed", "expired", "unknown"})


class Operator:
    """Call `look` again and again; it acts on what it sees, each task once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._retries_left = dict(RETRIES)
        self._cancels_left = CANCELLATIONS
        self._touched: set[str] = set()
        self._waiting_since: dict[str, int] = {}
        self._open: set[str] = set()
        self._ended: list[dict[str, Any]] = []
        self._refusal = ""
        self.cancelled: set[str] = set()

    def look(self, tasks: list[dict[str, Any]]) -> None:
        """Act on at most one task, so that the server is asked gently."""
        for task in tasks:
            if task["task_id"] in self._touched:
                continue
            if task["state"] == "failed" and self._retries_left.get(task["name"], 0):
                return self._retry(task)
            if self._cancels_left and self._waits_for_long(task):
                return self._cancel(task)
        return None

    def follow(self) -> bool:
        """Ask how the commands are going; whether all have ended."""
        for command_id in sorted(self._open):
            command = self._client.command(command_id)
            if command["state"] in ENDED:
                self._open.discard(command_id)
                self._ended.append(command)
        return not self._open

    @property
    def outcomes(self) -> dict[str, int]:
        """`done`, and everything else as `failed`; open commands count as failed."""
        done = sum(1 for command in self._ended if command["state"] == "done")
        return {"done": done, "failed": len(self._ended) - done + len(self._open)}

    @property
    def complaints(self) -> list[str]:
        """What the commands that did not succeed said, and the last refusal if none was taken."""
        refused = [self._refusal] if self._refusal and not self._touched else []
        return refused + [
            f"The command {c['verb']} ended as {c['state']}: {c.get('message') or c.get('effect')}"
            for c in self._ended
            if c["state"] != "done"
        ]

    @property
    def retried(self) -> frozenset[str]:
        """The new tasks that the retries made."""
        return frozenset(c["new_task_id"] for c in self._ended if c["new_task_id"])

    def _retry(self, task: dict[str, Any]) -> None:
        if self._ask(task["task_id"], self._client.retry):
            self._retries_left[task["name"]] -= 1

    def _cancel(self, task: dict[str, Any]) -> None:
        if self._ask(task["task_id"], self._client.cancel):
            self._cancels_left -= 1
            self.cancelled.add(task["task_id"])

    def _waits_for_long(self, task: dict[str, Any]) -> bool:
        if task["name"] != CANCEL_NAME or task["state"] != "retrying":
            return False
        now = now_us()
        since = self._waiting_since.setdefault(task["task_id"], now)
        return since + HELD_AFTER_US <= now < (task["eta_us"] or 0) - CANCEL_AHEAD_US

    def _ask(self, task_id: str, verb: Callable[[str], dict[str, Any]]) -> bool:
        """Whether the server took the command. One that it refuses now is tried again later."""
        try:
            command = verb(task_id)
        except Unavailable as error:
            self._refusal = str(error)
            return False
        self._touched.add(task_id)
        self._open.add(command["id"])
        return True
