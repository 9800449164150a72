# SPDX-License-Identifier: AGPL-3.0-only
"""Events for tests of the agent, with what does not matter filled in."""

from queuedeck_agent import wire

SOURCE = "abcdef012345"


def published(task_id: str, args: bytes = b"{}") -> wire.TaskPublished:
    return wire.TaskPublished(1, SOURCE, task_id, 1, "shop.send", "celery", args)


def started(task_id: str) -> wire.TaskStarted:
    return wire.TaskStarted(2, SOURCE, task_id, 1, "shop.send", "celery@host")


def succeeded(task_id: str) -> wire.TaskSucceeded:
    return wire.TaskSucceeded(3, SOURCE, task_id, 1, 1_000)


def failed(task_id: str) -> wire.TaskFailed:
    return wire.TaskFailed(3, SOURCE, task_id, 1, "ValueError", "no")
