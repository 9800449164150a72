# SPDX-License-Identifier: Apache-2.0
"""What RQ can do of each verb, and what an operator should know about it."""

from typing import TYPE_CHECKING

from queuedeck_agent import wire
from queuedeck_agent.engines.rq.worker_commands import is_pooled

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.adapter import RqEngine

_NATIVE = {
    "cancel": "A waiting job is taken out of its queue and kept as cancelled.",
    "terminate": "Kills the work horse of the job.",
    "requeue": "Back into its queue from the registry of failed jobs, under its own id.",
    "reconcile": "What Redis has of the job: its status, and the queue or registry.",
    "peek": "The list itself is read. Arguments are shown where they are plain values.",
    "dead": "The registry of failed jobs, without the cleaning that RQ does when it reads it.",
}
_EMULATED = {
    "retry": "RQ runs a requeued job under its old id and forgets the first run: instead the "
    "original call is enqueued under a new id, without delay, dependencies and repetitions.",
    "edit": "A new job: RQ cannot change one. The original call is read by the application's own "
    "serializer, in a process like a work horse.",
    "submit": "RQ has no list of tasks: only functions are taken that the application has sent "
    "itself, or that QUEUEDECK_ALLOW_TASKS names.",
    "priority": "RQ knows front and end only: 1 or more puts the job first in its queue, 0 last.",
    "move": "Out of one list and into the other in one step; a scheduled job keeps its time.",
    "purge": "Not by RQ's `empty`, which forgets what depends on the jobs: each waiting job is "
    "deleted and told; one that others depend on is kept as cancelled.",
}
_OF_WORKERS = {
    "pause": "RQ can only suspend all workers of a Redis database. Instead the workers with the "
    "agent on this host leave the queue alone; those without it still take from it.",
    "resume": "The workers with the agent on this host take from the queue again.",
    "drain": "RQ has no such command: the agent lets this worker take no more jobs, until it is "
    "told to or restarts.",
    "undrain": "The worker takes jobs again; a paused queue stays paused.",
}
_NONE = {
    "pool": "An RQ worker runs one job at a time, and a worker pool has a fixed size.",
    "rate": "RQ has no rate limits.",
}
_PRODUCER = "Only a worker can do that: this process sends jobs and takes none."
_NO_RESTART = (
    "RQ ends a worker on request, and nothing of RQ starts it again unless it is in a worker pool: "
    "restart it where it was started."
)


def of(engine: "RqEngine") -> tuple[wire.Capability, ...]:
    """One for each verb."""
    said = {verb: wire.Capability(verb, "native", text) for verb, text in _NATIVE.items()}
    said |= {verb: wire.Capability(verb, "emulated", text) for verb, text in _EMULATED.items()}
    said |= {verb: wire.Capability(verb, "none", text) for verb, text in _NONE.items()}
    for verb, text in _OF_WORKERS.items():
        how, why = ("emulated", text) if engine.gate is not None else ("none", _PRODUCER)
        said[verb] = wire.Capability(verb, how, why)
    said["restart"] = _restart(engine)
    if engine.worker is not None and not engine.has_horses:
        text = f"A {engine.pool} runs jobs in its own process: none can be stopped."
        said["terminate"] = wire.Capability("terminate", "none", text)
    return tuple(said[verb] for verb in wire.VERBS)


def _restart(engine: "RqEngine") -> wire.Capability:
    if engine.gate is None:
        return wire.Capability("restart", "none", _PRODUCER)
    if not is_pooled():
        return wire.Capability("restart", "none", _NO_RESTART)
    text = "The worker ends when its job is done, and its pool starts another under a new name."
    return wire.Capability("restart", "native", text)
