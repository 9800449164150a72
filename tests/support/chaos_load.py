# SPDX-License-Identifier: AGPL-3.0-only
"""Numbered events that anybody can work out again from the agent's number: what each lane of a
chaos test carries. A task is published in one lane and runs in the next one.
"""

import random

from queuedeck_agent import wire

SOURCE = "0123456789ab"
LAG = 20
"""So many tasks after its neighbour published a task, an agent runs it."""
US = 1_000
NAMES = ["shop.charge", "shop.mail", "shop.report"]


def source_seen(base_us):
    return wire.SourceSeen(base_us, SOURCE, "celery", "redis://chaos/0", "5.6.0")


def events(agent, agents, base_us):
    """What the lane of an agent carries from number 1 on, without end."""
    yield source_seen(base_us)
    number = 0
    while True:
        yield publication(agent, number, base_us)
        if number >= LAG:
            yield from runs((agent - 1) % agents, number - LAG, base_us)
        number += 1


def task_id(owner, number):
    digits = f"{random.Random(f'{owner}/{number}').getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def publication(owner, number, base_us):
    at = base_us + number * US
    args = b'{"args":[%d],"kwargs":{"owner":%d}}' % (number, owner)
    name, queue = NAMES[number % len(NAMES)], f"queue-{owner}"
    return wire.TaskPublished(at, SOURCE, task_id(owner, number), 1, name, queue, args)


def runs(owner, number, base_us):
    """All that happens to a task after its publication."""
    chance = random.Random(f"{owner}/{number}/run")
    story = chance.choice(STORIES)
    at, name = base_us + number * US, NAMES[number % len(NAMES)]
    return story(_Teller(task_id(owner, number), at, name, chance))


class _Teller:
    """Makes the events of one task, each a little later than the one before."""

    def __init__(self, task_id, at, name, chance):
        self._head = (SOURCE, task_id)
        self._at = at
        self._name = name
        self.chance = chance
        self.worker = f"celery@host-{chance.randrange(4)}"

    def _later(self):
        self._at += self.chance.randrange(1, 400)
        return self._at

    def received(self):
        return wire.TaskReceived(self._later(), *self._head, 1, self._name, self.worker)

    def started(self, attempt=1, **more):
        return wire.TaskStarted(
            self._later(), *self._head, attempt, self._name, self.worker, **more
        )

    def succeeded(self, attempt=1):
        return wire.TaskSucceeded(self._later(), *self._head, attempt, 70, b"7", worker=self.worker)

    def failed(self, attempt=1):
        error = ("shop.OutOfStock", "none left", "Traceback ...\nshop.OutOfStock: none left")
        return wire.TaskFailed(self._later(), *self._head, attempt, *error, worker=self.worker)

    def retrying(self, attempt=1):
        return wire.TaskRetrying(
            self._later(), *self._head, attempt, "TimeoutError", "slow", worker=self.worker
        )

    def lost(self):
        return wire.TaskLost(self._later(), *self._head, 1, "the process is gone")

    def cancelled(self):
        return wire.TaskCancelled(self._later(), *self._head, 1)


STORIES = [
    lambda t: [t.started(), t.succeeded()],
    lambda t: [t.started(), t.succeeded()],
    lambda t: [t.received(), t.started(), t.succeeded()],
    lambda t: [t.started(), t.failed()],
    lambda t: [t.started(), t.retrying(), t.started(2), t.succeeded(2)],
    lambda t: [t.started(), t.retrying(), t.started(2), t.retrying(2), t.started(3), t.failed(3)],
    lambda t: [t.started(), t.lost()],
    lambda t: [t.received(), t.cancelled()],
    lambda t: [t.started(), t.started(redelivered=True), t.succeeded()],
    lambda t: [t.started(), t.failed(), t.succeeded()],
    lambda t: [t.succeeded(), t.started()],
    lambda t: [t.started()],
]
"""Once, with a retry, twice, lost, cancelled, delivered again, two outcomes, in a wrong order."""
