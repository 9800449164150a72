# SPDX-License-Identifier: Apache-2.0
"""Brings a soft time limit that fired inside one of our hooks to the task it was meant for.

Celery's signal dispatch catches every exception of a receiver, so raising it is not enough: the
signal of the pool is sent once more, a moment later, if the same task still runs.
"""

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from queuedeck_agent.guard import is_hosts, note

LOOK_EVERY_S = 0.002
"""Short beside any time limit: those are whole seconds."""

Running = dict[str, Any]


def hook(function: Callable[..., None]) -> Callable[..., None]:
    """Makes a method a receiver of a Celery signal: `guard.contained`, and time limits reach the
    task. One layer, because each layer packs the arguments anew."""
    site = f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def receiver(hooks: Any, **named: Any) -> None:
        try:
            function(hooks, **named)
        except Exception as error:
            if not absorbs(error, site, hooks.running):
                raise

    return receiver


def absorbs(error: Exception, site: str, running: Running) -> bool:
    """What `hook` does with an exception, for the hooks that do without that layer because every
    task goes through them. False: it is to be raised again."""
    if type(error).__name__ == "SoftTimeLimitExceeded":
        deliver_again(running)
    elif is_hosts(error):
        return False
    else:
        note(site, error)
    return True


def deliver_again(running: Running) -> None:
    """Sends the limit once more to the task that runs now, as soon as that is out of the hook."""
    if len(running) != 1:
        return
    ((task_id, run),) = running.items()
    thread = threading.get_ident()

    def deliver() -> None:
        while running.get(task_id) is run:
            time.sleep(LOOK_EVERY_S)
            if not _is_in_celery(_frame_of(thread)):
                os.kill(os.getpid(), signal.SIGUSR1)  # what billiard's own timer sends
                return

    threading.Thread(target=deliver, name="queuedeck-limit", daemon=True).start()


def _frame_of(thread: int) -> FrameType | None:
    return sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]


def _is_in_celery(frame: FrameType | None) -> bool:
    """Whether Celery dispatches a signal or prepares the call: it would swallow the limit."""
    if frame is not None and frame.f_code.co_name == "trace_task":
        return True
    while frame is not None:
        if frame.f_code.co_filename.endswith("celery/utils/dispatch/signal.py"):
            return True
        frame = frame.f_back
    return False
