# SPDX-License-Identifier: Apache-2.0
"""What Celery can do, by broker, pool and role: one answer for each verb."""

from queuedeck_agent import wire

RESIZABLE_POOLS = ("prefork", "gevent", "eventlet")

_STOPS = {
    "gevent": "Stops the greenlet of the task where it waits next; one that computes goes on.",
}

_NO_DEAD = (
    "Celery keeps no dead letters: a task that failed is gone from the broker. Retry it instead."
)
_NO_LOOK = "RabbitMQ gives nobody a message without taking it out of its place."
_NO_SINGLE = "RabbitMQ gives nobody a single message out of a queue."
_OTHER = "On Redis and RabbitMQ only; this broker is another one."

Answer = tuple[str, str]


def can_stop(pool: str) -> bool:
    """Whether this pool can stop a running task; `pool` is empty where it is not known. Threads and
    solo cannot: Celery only logs an error. That of gevent can since 5.3."""
    if pool == "gevent":
        from celery.concurrency.gevent import TaskPool

        return "terminate_job" in vars(TaskPool)
    return pool in ("", "prefork")


def all_of(broker: str, role: str, pool: str, restart_refusal: str) -> tuple[wire.Capability, ...]:
    """`broker`: as kombu calls it. `pool`: empty outside of a worker."""
    found = {
        **_of_tasks(broker, pool),
        **_of_queues(broker),
        **_of_workers(role, pool, restart_refusal),
    }
    return tuple(wire.Capability(verb, *found[verb]) for verb in wire.VERBS)


def _of_tasks(broker: str, pool: str) -> dict[str, Answer]:
    return {
        "retry": (
            "emulated",
            "Celery has no retry from outside: the original call is sent again under a new id, "
            "without eta, expiry, links, chain and chord.",
        ),
        "edit": (
            "emulated",
            "As a retry: a new task, with what was changed. What was left as it was shown, secrets "
            "too, is taken from the original.",
        ),
        "submit": ("native", "Sent as the application sends it, with the task's own options."),
        "cancel": ("native", "A waiting task is revoked and, on Redis, taken out of its queue."),
        "terminate": ("none", f"A {pool} pool cannot stop a running task.")
        if not can_stop(pool)
        else ("native", _STOPS.get(pool, "Kills the process of the task; Celery starts another.")),
        "priority": _on_redis(
            broker,
            "Celery cannot change a waiting message: the agent moves it to the list of that "
            "priority in one step.",
            _NO_SINGLE,
        ),
        "move": _on_redis(
            broker,
            "Celery cannot change a waiting message: the agent moves it to the end of the other "
            "queue in one step.",
            _NO_SINGLE,
        ),
        "requeue": ("none", _NO_DEAD),
        "reconcile": (
            ("native", "Asks the queue, every worker and the result backend.")
            if broker == "redis"
            else (
                "emulated",
                "Asks every worker and the result backend. RabbitMQ lets nobody look for one "
                "message, so one that waits is told only from an empty queue.",
            )
        ),
    }


def _of_queues(broker: str) -> dict[str, Answer]:
    how = "emulated"
    scope = (
        "Workers with the agent stop taking from the queue and remember it over a restart; those "
        "without the agent go on. What they have taken already still runs."
    )
    purges = {
        "redis": ("native", "Every waiting message; what workers hold already is not touched."),
        "amqp": (
            "native",
            "RabbitMQ's own purge: it counts and does not say which tasks they were.",
        ),
    }
    return {
        "purge": purges.get(broker, ("none", _OTHER)),
        "pause": (how, scope),
        "resume": (how, "Takes away a pause of ours; one by `cancel_consumer` stays."),
        "peek": ("native", "The messages that are taken next.")
        if broker == "redis"
        else ("none", _NO_LOOK if broker == "amqp" else _OTHER),
        "dead": ("none", _NO_DEAD),
    }


def _of_workers(role: str, pool: str, restart_refusal: str) -> dict[str, Answer]:
    cannot_grow = pool and pool not in RESIZABLE_POOLS
    found: dict[str, Answer] = {
        "pool": ("none", f"The size of a {pool} pool is fixed.")
        if cannot_grow
        else ("native", "Until the worker restarts. Celery refuses while it scales by itself."),
        "rate": ("native", "Until the worker restarts."),
    }
    if role != "worker":
        mine = "Only the worker's own agent can; this process is none."
        return {
            **found,
            "drain": ("none", mine),
            "undrain": ("none", mine),
            "restart": ("none", mine),
        }
    return {
        **found,
        "drain": (
            "emulated",
            "The worker stops taking from all of its queues and ends what it has. A restart ends "
            "this.",
        ),
        "undrain": ("emulated", "Takes from its queues again, but for those that are paused."),
        "restart": ("none", restart_refusal)
        if restart_refusal
        else (
            "native",
            "Celery's own restart (SIGHUP): the worker ends what runs, then starts again with the "
            "same command.",
        ),
    }


def _on_redis(broker: str, emulation: str, refusal: str) -> Answer:
    if broker == "redis":
        return "emulated", emulation
    return "none", refusal if broker == "amqp" else _OTHER
