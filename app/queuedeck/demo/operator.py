# SPDX-License-Identifier: AGPL-3.0-only
"""What a person would do in the browser, for runs that nobody watches: retry a few failed tasks
and cancel a few that began once and wait for their next attempt, through the public API.
"""

from collections.abc import Callable
from typing import Any

from queuedeck.clock import SECOND_US, now_us
from queuedeck.demo.client import Client
from queuedeck.errors import Unavailable

RETRIES = {
    "orders.book_courier": 2,
    "orders.capture_payment": 1,
    "invoices.render_pdf": 1,
    "mail.send_receipt": 1,
    "stock.sync_supplier": 1,
    "webhooks.sync_contact": 1,
    "recommendations.rank_products": 1,
}
"""How many failed tasks of each name are retried."""
CANCELLATIONS = 3
CANCEL_NAME = "orders.send_reminder"
CANCEL_AHEAD_US = 3 * SECOND_US
"""A task is cancelled only when it is not due before this, so that it is not a race."""
HELD_AFTER_US = SECOND_US
"""And only when it was seen waiting this long: time for a worker to take the next attempt."""
ENDED = frozenset({"done", "failed", "expired", "unknown"})

TaskKey = tuple[str, str]
"""Engine and task id."""


class Operator:
    """Call `look` again and again; it acts on what it sees, each task once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._retries_left = dict(RETRIES)
        self._cancels_left = CANCELLATIONS
        self._touched: set[TaskKey] = set()
        self._waiting_since: dict[TaskKey, int] = {}
        self._open: dict[str, str] = {}
        """Command id -> engine."""
        self._ended: list[dict[str, Any]] = []
        self._refusal = ""
        self.cancelled: set[TaskKey] = set()
        self.retried: set[TaskKey] = set()
        """The new tasks that the retries made."""

    def look(self, tasks: list[dict[str, Any]]) -> None:
        """Act on at most one task, so that the server is asked gently. Those to cancel come first:
        they do not wait for ever."""
        refused: set[str] = set()
        for task in sorted(tasks, key=lambda one: one["name"] != CANCEL_NAME):
            act = None if _key(task) in self._touched else self._wanted(task)
            if act is None or task["name"] in refused:
                continue
            if act(task):
                return
            refused.add(task["name"])

    def follow(self) -> bool:
        """Ask how the commands are going; whether all have ended."""
        for command_id in sorted(self._open):
            command = self._client.command(command_id)
            if command["state"] in ENDED:
                engine = self._open.pop(command_id)
                self._ended.append(command)
                if command["new_task_id"]:
                    self.retried.add((engine, command["new_task_id"]))
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

    def _wanted(self, task: dict[str, Any]) -> Callable[[dict[str, Any]], bool] | None:
        if task["state"] == "failed" and self._retries_left.get(task["name"], 0):
            return self._retry
        return self._cancel if self._cancels_left and self._waits_for_long(task) else None

    def _retry(self, task: dict[str, Any]) -> bool:
        taken = self._ask(task, self._client.retry)
        self._retries_left[task["name"]] -= int(taken)
        return taken

    def _cancel(self, task: dict[str, Any]) -> bool:
        taken = self._ask(task, self._client.cancel)
        if taken:
            self._cancels_left -= 1
            self.cancelled.add(_key(task))
        return taken

    def _waits_for_long(self, task: dict[str, Any]) -> bool:
        if task["name"] != CANCEL_NAME or task["state"] != "retrying":
            return False
        now = now_us()
        since = self._waiting_since.setdefault(_key(task), now)
        return since + HELD_AFTER_US <= now < (task["eta_us"] or 0) - CANCEL_AHEAD_US

    def _ask(self, task: dict[str, Any], verb: Callable[[str, str], dict[str, Any]]) -> bool:
        """Whether the server took the command. One that it refuses now is tried again later."""
        try:
            command = verb(*_key(task))
        except Unavailable as error:
            self._refusal = str(error)
            return False
        self._touched.add(_key(task))
        self._open[command["id"]] = task["engine"]
        return True


def _key(task: dict[str, Any]) -> TaskKey:
    return task["engine"], task["task_id"]
