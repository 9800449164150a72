# SPDX-License-Identifier: Apache-2.0
"""What arq can do, verb by verb; operators read the reasons."""

from queuedeck_agent.engines.arq.commands import NO_PRIORITY
from queuedeck_agent.wire import Capability

_NEW_ID = "The call is sent again under a new id, without deferral and expiry"
_ONLY_WORKERS = "Only a process that runs workers can do it, and this one only sends."
_NO_DEAD = "arq keeps no dead letters: of a job that failed it has the result, and not the job."

_ALWAYS = (
    Capability("retry", "emulated", f"arq has no retry from outside. {_NEW_ID}."),
    Capability("edit", "emulated", f"{_NEW_ID}; it may be deferred, and go to another queue."),
    Capability(
        "cancel",
        "emulated",
        "A waiting job is taken out of its queue; arq's own abort needs a worker that allows it.",
    ),
    Capability("priority", "none", NO_PRIORITY),
    Capability(
        "move",
        "emulated",
        "The job goes from one sorted set to the other in one step, due when it was; its message "
        "belongs to no queue. arq does not know which queues have workers.",
    ),
    Capability("requeue", "none", _NO_DEAD),
    Capability("reconcile", "native"),
    Capability(
        "purge",
        "emulated",
        "The jobs that are due and do not run are taken out, each in one step with its message. "
        "Deferred ones stay.",
    ),
    Capability("peek", "native"),
    Capability("dead", "none", _NO_DEAD),
    Capability("rate", "none", "arq has no rate limits."),
    Capability(
        "restart",
        "none",
        "arq does not start itself again: whatever started the worker has to do it. Drain it, "
        "then restart it there.",
    ),
)
_OF_FUNCTIONS = (Capability("submit", "native"),)
_NO_FUNCTIONS = (
    Capability(
        "submit", "none", "Only workers know which functions there are; this process only sends."
    ),
)
_OF_WORKERS = (
    Capability(
        "terminate",
        "emulated",
        "The worker cancels the job at its next `await`, as `Job.abort` does where "
        "`allow_abort_jobs` is set.",
    ),
    Capability(
        "pause",
        "emulated",
        "arq has no pause: workers with the agent on the same host start nothing from the queue. "
        "Others still do.",
    ),
    Capability("resume", "emulated", "As for the pause: of the workers with the agent there."),
    Capability(
        "pool", "emulated", "`max_jobs` of the running worker is changed, until it restarts."
    ),
    Capability("drain", "emulated", "The worker polls on and starts nothing, until it restarts."),
    Capability("undrain", "emulated", "The worker starts again what its polls find."),
)
_NO_WORKERS = (
    Capability("terminate", "none", "Only the worker that runs a job can."),
    *(
        Capability(verb, "none", _ONLY_WORKERS)
        for verb in ("pause", "resume", "pool", "drain", "undrain")
    ),
)


def abilities(has_workers: bool, has_functions: bool) -> tuple[Capability, ...]:
    """One for every verb, as this process is now."""
    return (
        *_ALWAYS,
        *(_OF_FUNCTIONS if has_functions else _NO_FUNCTIONS),
        *(_OF_WORKERS if has_workers else _NO_WORKERS),
    )
