# SPDX-License-Identifier: Apache-2.0
"""What can be done with Huey, verb by verb, on each storage, and why not what cannot.

Operators read these sentences as they stand.
"""

from queuedeck_agent import wire
from queuedeck_agent.engines.huey.stores import Store

_NO_WORKER = "This process only sends tasks; a consumer can do it."
_NO_STORE = "The agent can look into Huey's storages on Redis, SQLite and files, not into this one."

_ALWAYS = {
    "retry": "Huey has no retry from outside: the original call is sent again under a new id, "
    "without eta, expiry, pipeline and chord.",
    "edit": "Sent under a new id, without eta, expiry, pipeline and chord.",
    "submit": "Sent as a call of the task would be, by a process that has its instance.",
    "cancel": "The task is revoked: the worker that takes its message throws it away.",
}
_STORED = {
    "cancel": "The task is revoked, and its message is taken out of its queue or schedule.",
    "reconcile": "By queue, schedule and stored results. Huey keeps no list of what runs: only this"
    " consumer's own tasks are known to run. A task that returned None leaves nothing.",
    "move": "In one step the message goes to the queue of another instance of this process on the "
    "same storage, which must know the task.",
    "purge": "What waits is taken out of the queue, some hundreds in one step. The schedule and "
    "the results stay.",
    "peek": "The first messages of the queue are read and stay where they are.",
}
_PRIORITY = (
    "In one step the message is replaced by one with the new priority. Tasks of higher numbers go "
    "first."
)
_NO_PRIORITY = "Huey's storage on Redis has no priorities; `PriorityRedisHuey` has."
_NO_MOVE = "Huey's instances on one folder of files share one queue."
_ONE_QUEUE = (
    "A Huey queue is an instance of the application, and this process has no other on that storage."
)
_CONSUMER = {
    "pause": "Consumers of this host with the agent stop taking from the queue; those without it "
    "go on. What is due is still put into the queue, and waits there.",
    "resume": "Takes back a pause that was asked for here.",
    "drain": "Huey has no means for it: the agent keeps this consumer's workers from taking tasks, "
    "until it restarts.",
    "undrain": "The agent lets this consumer's workers take tasks again.",
}
_NONE = {
    "terminate": "Huey cannot stop a task that runs.",
    "requeue": "Huey keeps no dead letters: a task that failed is gone from its queue.",
    "dead": "Huey keeps no dead letters: a task that failed is gone from its queue.",
    "pool": "A Huey consumer has as many workers as it was started with; it cannot be given more.",
    "rate": "Huey's rate limits are written into the code of a task.",
}
_NATIVE = ("cancel", "submit")
_RESTART = "The consumer is told to start anew (SIGHUP): it ends what it runs, then starts itself."
NO_RESTART = "This consumer does not listen to the signal with which Huey restarts itself (SIGHUP)."


def abilities(
    stores: "list[Store | None]", is_consumer: bool, restarts: bool
) -> tuple[wire.Capability, ...]:
    """`stores`: of the instances of this process, all in one place."""
    known = [one for one in stores if one is not None]
    emulated = dict(_ALWAYS)
    none = dict(_NONE)
    if known:
        emulated |= _STORED
        if any(one.ranked for one in known):
            emulated["priority"] = _PRIORITY
        else:
            none["priority"] = _NO_PRIORITY
        on_files = any(one.name == "files" for one in known)
        if on_files or len(known) == 1:
            none["move"] = _NO_MOVE if on_files else _ONE_QUEUE
            del emulated["move"]
    if is_consumer:
        emulated |= _CONSUMER
    found: list[wire.Capability] = []
    for verb in wire.VERBS:
        if verb == "restart" and is_consumer:
            how, why = ("native", _RESTART) if restarts else ("none", NO_RESTART)
            found.append(wire.Capability(verb, how, why))
        elif verb in emulated:
            how = "native" if verb in _NATIVE else "emulated"
            found.append(wire.Capability(verb, how, emulated[verb]))
        else:
            of_consumer = verb in _CONSUMER or verb == "restart"
            why = none.get(verb) or (_NO_WORKER if of_consumer else _NO_STORE)
            found.append(wire.Capability(verb, "none", why))
    return tuple(found)
