# SPDX-License-Identifier: Apache-2.0
"""Tells of a change when the pipeline that carries it was executed, and not if it never is."""

from collections.abc import Callable
from typing import Any

_ON_PIPELINE = "queuedeck_pending"

Say = Callable[[], None]


def when_committed(pipeline: Any, say: Say) -> None:
    """At once without a pipeline; else after `execute`, unless it fails or is reset before."""
    if pipeline is None:
        say()
        return
    pending: list[Say] | None = vars(pipeline).get(_ON_PIPELINE)
    if pending is None:
        pending = vars(pipeline)[_ON_PIPELINE] = []
        _watch(pipeline, pending)
    pending.append(say)


def _watch(pipeline: Any, pending: list[Say]) -> None:
    """On this one object: the host's other pipelines are none of our business."""
    execute, reset = pipeline.execute, pipeline.reset

    def execute_and_say(*args: Any, **kwargs: Any) -> Any:
        said = list(pending)
        pending.clear()
        result = execute(*args, **kwargs)
        for say in said:
            say()
        return result

    def reset_and_forget(*args: Any, **kwargs: Any) -> Any:
        pending.clear()
        return reset(*args, **kwargs)

    pipeline.execute = execute_and_say
    pipeline.reset = reset_and_forget
