# SPDX-License-Identifier: AGPL-3.0-only
"""A mixed load on one engine, and the truth about it: what the harness sent and killed, and what
the tasks wrote down themselves, in Redis."""

import json
import os
import random
import signal
from collections import Counter
from typing import NamedTuple

import msgspec
from tests.conformance.harness import Call, call, eventually, key
from tests.mixed.engines import Mixed
from tests.support.e2e_server import Api

replace = msgspec.structs.replace
SENT_AT_ONCE = 100
"""Calls in one process that sends: the command line of a process has an end."""
SHARES = {"note": 64, "fail": 14, "again": 14, "limited": 2, "cancelled": 6}
"""Of a hundred tasks. Besides, one is killed in each round."""
LIMIT_S = 1
DELAY_S = 5
"""Before a task is due that is to be cancelled."""
BLOCKERS = 4
"""Tasks that hold a taskiq worker up while others wait to be cancelled."""
_FUNCTIONS = {"cancelled": "note", "limited": "sleep", "killed": "sleep", "blocker": "sleep"}


class Sent(NamedTuple):
    """One task of the load, as the harness knows it."""

    task_id: str
    kind: str
    key: str

    @property
    def task(self) -> str:
        """The function."""
        return _FUNCTIONS.get(self.kind, self.kind)


class Load:
    """Rounds of tasks on one worker."""

    def __init__(self, engine: Mixed, api: Api, seed: int) -> None:
        self.engine = engine
        self.api = api
        self.sent: list[Sent] = []
        self._chooser = random.Random(seed)

    def round(self, tasks: int) -> None:
        """So many tasks, until they have ended."""
        kinds = self._kinds(tasks - 1)
        later = [kind for kind in kinds if kind == "cancelled"]
        if not self.engine.cancels:
            self._cancelled_from_the_dashboard(len(later))
            kinds = [kind for kind in kinds if kind != "cancelled"]
        self._send(kinds)
        if self.engine.dies_alone:
            self._kill_one()
            self.wait()
        else:  # what shares a process with a killed task would be killed with it
            self.wait()
            self._kill_one()

    def truth(self) -> dict[str, str]:
        """Task id -> the state that follows from what happened."""
        told = Counter(
            (line[0], line[1])
            for line in map(str.split, self.engine.redis.lrange(self._told, 0, -1))
            if len(line) > 1
        )
        return {one.task_id: self._state(one, told) for one in self.sent}

    def wait(self, seconds: float = 90) -> None:
        """Until the server shows the truth; fails with the differences."""

        def differences() -> list[str]:
            shown, truth = self.api.states(), self.truth()
            return [
                f"{one.kind} {one.task_id}: shown {shown.get(one.task_id)}, "
                f"happened {truth[one.task_id]}"
                for one in self.sent
                if shown.get(one.task_id) != truth[one.task_id]
            ]

        found: list[str] = []

        def is_equal() -> bool:
            found[:] = differences()
            return not found

        try:
            eventually(is_equal, seconds)
        except AssertionError:
            raise AssertionError(f"{len(found)} differ: {found[:10]}") from None

    def _state(self, one: Sent, told: "Counter[tuple[str, str]]") -> str:
        ran = told["note", one.key]
        if one.kind == "note":
            return "succeeded" if ran == 1 else f"ran {ran} times"
        if one.kind == "cancelled":
            return "succeeded" if ran else "cancelled"
        if one.kind == "again":
            return "succeeded" if told["again", one.key] == 2 else "not run twice"
        if one.kind == "killed":
            return "succeeded" if told["slept", one.key] else self.engine.after_kill
        if one.kind == "blocker":
            return "succeeded" if told["slept", one.key] else "not run"
        return "succeeded" if told["slept", one.key] else "failed"

    @property
    def _told(self) -> str:
        return f"told:{self.engine.queue}"

    def _kinds(self, tasks: int) -> list[str]:
        kinds = [kind for kind, share in SHARES.items() for _ in range(share * tasks // 100)]
        kinds += ["note"] * (tasks - len(kinds))
        self._chooser.shuffle(kinds)
        return kinds

    def _send(self, kinds: list[str]) -> None:
        for first in range(0, len(kinds), SENT_AT_ONCE):
            some = [(kind, key()) for kind in kinds[first : first + SENT_AT_ONCE]]
            code = ", ".join(self._sending(kind, name) for kind, name in some)
            ids = json.loads(self.engine.attached(f"import json\nprint(json.dumps([{code}]))"))
            self._note([Sent(i, *which) for i, which in zip(ids, some, strict=True)])

    def _sending(self, kind: str, name: str) -> str:
        if kind == "cancelled":
            delay = DELAY_S if self.engine.delays else 0
            sending = self.engine.sending(Call("note", (name,), delay=delay))
            if not self.engine.cancels:
                return sending
            cancel = self.engine.cancelling("sent")
            return f"[sent := {sending}, {cancel}][0]"
        if kind in ("limited", "killed", "blocker"):
            one = call("sleep", name, {"limited": 3, "killed": 3, "blocker": 4}[kind])
            return self.engine.sending(replace(one, limit=LIMIT_S) if kind == "limited" else one)
        return self.engine.sending(Call(kind, (name,)))

    def _cancelled_from_the_dashboard(self, tasks: int) -> None:
        """By the server's API, while they wait: behind others, or for their time."""
        first = len(self.sent)
        blockers = 0 if self.engine.delays else BLOCKERS
        self._send(["blocker"] * blockers + ["cancelled"] * tasks)
        waiting = [one.task_id for one in self.sent[first + blockers :]]
        eventually(lambda: set(waiting) <= self.api.states().keys())
        for task_id in waiting:
            path = f"/tasks/{self.engine.engine}/{task_id}/cancellations"
            self.api.client.post(self.api.base + path)  # refused if it runs by now

    def _kill_one(self) -> None:
        """SIGKILL for the process that runs a task, in the middle of it."""
        self._send(["killed"])
        victim = self.sent[-1]
        ((_, _, pid),) = eventually(lambda: self.engine.told("sleeps", victim.key), 40)
        os.kill(int(pid), signal.SIGKILL)
        self.engine.after_death(victim.task_id)
        self.wait()

    def _note(self, sent: list[Sent]) -> None:
        """In Redis too, where it survives this process and can be looked at."""
        self.sent += sent
        lines = [" ".join(one) for one in sent]
        if lines:
            self.engine.redis.rpush(f"sent:{self.engine.queue}", *lines)
