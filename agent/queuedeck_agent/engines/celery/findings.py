# SPDX-License-Identifier: Apache-2.0
"""Celery's settings that can hurt, from `app.conf`."""

from typing import Any

VISIBILITY_S = 3_600
"""Celery's default on Redis."""


def find(engine: Any) -> list[str]:
    conf, slots = engine.app.conf, int(engine.worker.concurrency or 0)
    return [*_trust(conf), *_crash(conf, slots), *_hang(conf), *_redelivery(engine.app, conf)]


def _trust(conf: Any) -> list[str]:
    if any(
        "pickle" in str(kind) or "python-serialize" in str(kind) for kind in conf.accept_content
    ):
        return [
            "Pickle is accepted: whoever can write to the broker can run code in this worker. "
            "Leave it out of accept_content."
        ]
    return []


def _crash(conf: Any, slots: int) -> list[str]:
    found: list[str] = []
    if not conf.task_acks_late:
        up_to = f"up to {slots} running tasks" if slots > 1 else "the task it runs"
        found.append(
            f"task_acks_late is off: a worker that is killed loses {up_to}. Turn it on for tasks "
            "that may run twice."
        )
    if conf.worker_prefetch_multiplier == 0:
        found.append(
            "worker_prefetch_multiplier is 0: this worker takes every message that waits, the "
            "others get none. Set it to 1 for long tasks, to 4 for short ones."
        )
    return found


def _hang(conf: Any) -> list[str]:
    if conf.task_time_limit or conf.task_soft_time_limit:
        return []
    return [
        "No time limit: a task that hangs keeps its slot for ever. Set task_soft_time_limit, and "
        "task_time_limit a little above it."
    ]


def _redelivery(app: Any, conf: Any) -> list[str]:
    """Redis hands a message out again that was not acknowledged for so long."""
    if not str(app.connection_for_read().transport_cls).startswith("redis"):
        return []
    visible_s = float((conf.broker_transport_options or {}).get("visibility_timeout", VISIBILITY_S))
    found: list[str] = []
    limit_s = float(conf.task_time_limit or 0)
    if conf.task_acks_late and limit_s > visible_s:
        found.append(
            f"A task may run for {limit_s:g} s, but Redis hands its message to another worker "
            f"after {visible_s:g} s: it would run twice at once. Set visibility_timeout in "
            "broker_transport_options above task_time_limit."
        )
    if visible_s < VISIBILITY_S:
        found.append(
            f"A task with an eta or countdown of more than {visible_s:g} s is delivered again "
            "while it waits, and may run more than once. Set visibility_timeout above your "
            "longest eta."
        )
    return found
