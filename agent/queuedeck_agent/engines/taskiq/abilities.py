# SPDX-License-Identifier: Apache-2.0
"""What taskiq can do with the brokers of this process, verb by verb; operators read the reasons."""

from typing import NamedTuple

from queuedeck_agent.wire import Capability

NOT_ON_REDIS = "The agent knows taskiq's lists and streams on Redis; this is another broker."
NO_MANAGER = "taskiq's manager did not start this process, so nothing would start another."
_NEW_ID = "The call is sent again under a new id"
_NO_DEAD = "taskiq's brokers on Redis keep no dead letters."
_ONLY_WORKERS = "Only a worker's process can do it, and this one only sends."
_STUCK = ("0.12.5", "0.12.6")
"""Their workers do not end on SIGTERM, with the agent or without."""


class Situation(NamedTuple):
    """What it depends on."""

    version: str
    has_tasks: bool
    """Some are registered here."""
    has_list: bool
    on_redis: bool
    """A list or a stream."""
    is_worker: bool
    has_gate: bool
    is_managed: bool
    """By taskiq's own manager of worker processes."""


def abilities(now: Situation) -> tuple[Capability, ...]:
    """One for every verb."""
    submit = Capability("submit", "native")
    if not now.has_tasks:
        submit = Capability("submit", "none", "This process knows no tasks, it only has a broker.")
    return (*_ALWAYS, submit, *_of_queues(now), *_of_workers(now))


_ALWAYS = (
    Capability("retry", "emulated", f"taskiq has no retry from outside. {_NEW_ID}."),
    Capability(
        "edit",
        "emulated",
        f"{_NEW_ID}, with its labels. Priority and delay mean something on RabbitMQ only.",
    ),
    Capability(
        "cancel",
        "emulated",
        "From a list on Redis a waiting message is taken out. One that a worker holds already, "
        "and any on other brokers, is skipped when its turn comes.",
    ),
    Capability(
        "priority",
        "none",
        "taskiq's brokers on Redis have no priorities, and RabbitMQ does not change that of a "
        "message.",
    ),
    Capability("requeue", "none", _NO_DEAD),
    Capability(
        "reconcile",
        "emulated",
        "taskiq keeps no record of tasks: the agent looks at what this process runs, into the "
        "list (its newest 20,000 messages), and at the result backend, if it keeps results.",
    ),
    Capability("dead", "none", _NO_DEAD),
    Capability(
        "pool",
        "none",
        "taskiq sets how many tasks run at once when a worker starts (`--max-async-tasks`).",
    ),
    Capability("rate", "none", "taskiq has no rate limits."),
)


def _of_queues(now: Situation) -> tuple[Capability, ...]:
    move = Capability(
        "move",
        "none",
        "Out of the middle of a stream nothing can be taken without Redis losing count of what "
        "waits in it."
        if now.on_redis
        else NOT_ON_REDIS,
    )
    if now.has_list:
        move = Capability(
            "move",
            "emulated",
            "The message goes to the end of the other list in one step. taskiq does not know which "
            "lists have workers, and a retry by a middleware goes to the queue of its labels.",
        )
    if not now.on_redis:
        return move, *(Capability(one, "none", NOT_ON_REDIS) for one in ("purge", "peek"))
    purge = Capability(
        "purge",
        "emulated",
        "A list is read and emptied step by step, each in one transaction. Of a stream the "
        "group skips what it has not given out; entries go where it is the only group.",
    )
    return move, purge, Capability("peek", "native")


def _of_workers(now: Situation) -> tuple[Capability, ...]:
    if not now.is_worker:
        verbs = ("terminate", "pause", "resume", "drain", "undrain", "restart")
        return tuple(Capability(verb, "none", _ONLY_WORKERS) for verb in verbs)
    terminate = Capability(
        "terminate",
        "emulated",
        "taskiq has no means for it: the agent cancels the coroutine at its next `await`. Plain "
        "functions, in threads, cannot be stopped.",
    )
    return terminate, *_of_gates(now), _restart(now)


def _of_gates(now: Situation) -> tuple[Capability, ...]:
    verbs = ("pause", "resume", "drain", "undrain")
    if not now.has_gate:
        why = "This broker has a `listen` of its own." if now.on_redis else NOT_ON_REDIS
        return tuple(Capability(verb, "none", why) for verb in verbs)
    pause = (
        "taskiq has no pause: workers with the agent on the same host wait before they take. "
        "Others still do. What they have taken already, they run."
    )
    drain = "The process waits before it takes; what it has taken already, it runs."
    return tuple(
        Capability(verb, "emulated", pause if verb in ("pause", "resume") else drain)
        for verb in verbs
    )


def _restart(now: Situation) -> Capability:
    if not now.is_managed:
        return Capability("restart", "none", NO_MANAGER)
    if now.version in _STUCK:
        return Capability("restart", "none", f"A worker of taskiq {now.version} does not end.")
    return Capability(
        "restart",
        "emulated",
        "The process ends as when taskiq's manager reloads it, its tasks first; the manager starts "
        "another. With `--max-fails` that counts as one.",
    )
