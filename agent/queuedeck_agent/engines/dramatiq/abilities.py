# SPDX-License-Identifier: Apache-2.0
"""What can be done with Dramatiq, verb by verb, on each broker, and why not what cannot.

Operators read these sentences as they stand.
"""

from queuedeck_agent import wire

_NO_WORKER = "This process only sends messages; a process with a worker can do it."
_NO_LOOK = (
    "RabbitMQ shows a message only to who takes it out of its queue, and marks it as redelivered "
    "when it is put back."
)
_OTHER = "The agent knows Dramatiq's brokers for Redis and RabbitMQ; this application uses another."
_IN_MEMORY = "Dramatiq has no remote control: the agent does it inside the worker process"

_ALWAYS = {
    "retry": "The original call is sent again as a new message, without delay, pipeline and group.",
    "edit": "Sent as a new message, without pipeline and group. On RabbitMQ a priority can be "
    "given where the application declares its queues with one.",
    "submit": "Sent as the actor's `send` would, by the process that knows the actor.",
}
_REDIS = {
    "cancel": "On Redis a waiting message is taken out of its queue in one step. One that a worker "
    "holds already is skipped when its turn comes.",
    "move": "In one step the message leaves its list for the end of another one that this "
    "application declares. One that a worker holds already stays.",
    "requeue": "Dramatiq keeps dead letters for 7 days and has no command for them: in one step "
    "one goes to the end of its queue, with its own id and its retries counted anew.",
    "reconcile": "By what Redis has: a message that waits, that a worker holds, or a dead letter. "
    "Of messages that have ended Dramatiq keeps nothing.",
    "purge": "What waits is taken out of the list, some hundreds in one step. Delayed messages and "
    "dead letters stay, which Dramatiq's own `flush` would delete.",
    "peek": "The first messages of the list are read and stay where they are.",
    "dead": "Dead letters are read and stay. Dramatiq keeps a message as it was last sent, so the "
    "error shown is that of the attempt before the last.",
}
_RABBITMQ = {
    "cancel": "RabbitMQ gives nobody a single message out of a queue: it is skipped when its turn "
    "comes, by workers with the agent.",
    "purge": "The messages that wait are taken and thrown away; delayed messages and dead letters "
    "stay. Beyond 10,000 only their number is known.",
}
_SKIPPED = {"cancel": "Skipped when its turn comes, by workers with the agent."}
_WORKER = {
    "pause": "The workers of this host with the agent stop taking from the queue, and give back "
    "what they hold and have not started. Workers without the agent go on.",
    "resume": "Takes back a pause that was asked for here.",
    "pool": f"{_IN_MEMORY}: threads are added to it or end with their message, until it restarts.",
    "drain": f"{_IN_MEMORY}, one of perhaps several of that host, and until it restarts.",
    "undrain": f"{_IN_MEMORY}.",
}
_NONE = {
    "terminate": "A running message is a thread of its worker: Python cannot stop one safely.",
    "priority": "Dramatiq on Redis has no priorities of messages, only of actors in a worker.",
    "rate": "Dramatiq's rate limits are written into the code of an actor.",
}
_NOT_ON_RABBITMQ = {
    **_NONE,
    "priority": "RabbitMQ cannot change a message that waits.",
    "move": "RabbitMQ gives nobody a single message out of a queue.",
    "requeue": f"{_NO_LOOK} Dead letters are in the queue `.XQ`, for other tools.",
    "reconcile": "RabbitMQ says nothing about single messages.",
    "peek": _NO_LOOK,
    "dead": _NO_LOOK,
}
_RESTART = (
    "The `dramatiq` command is told to start anew (SIGHUP): all its worker processes end what they "
    "run, then it starts itself again."
)


def abilities(kind: str, has_worker: bool, no_restart: str) -> tuple[wire.Capability, ...]:
    """`kind` is the broker's; `no_restart`: why the worker would not come back."""
    none = {
        "redis": _NONE,
        "rabbitmq": _NOT_ON_RABBITMQ,
    }.get(kind, _NONE)
    emulated = {**_ALWAYS, **{"redis": _REDIS, "rabbitmq": _RABBITMQ}.get(kind, _SKIPPED)}
    if has_worker and kind:
        emulated |= _WORKER
    found: list[wire.Capability] = []
    for verb in wire.VERBS:
        if verb == "restart" and has_worker:
            how = "none" if no_restart else "native"
            found.append(wire.Capability(verb, how, no_restart or _RESTART))
        elif verb in emulated:
            found.append(wire.Capability(verb, "emulated", emulated[verb]))
        else:
            why = none.get(verb) or (_NO_WORKER if kind and not has_worker else _OTHER)
            found.append(wire.Capability(verb, "none", why))
    return tuple(found)
