# SPDX-License-Identifier: AGPL-3.0-only
"""Starts an engine's command line as `python -m` would, so that the agent's threads can be told
from the host's and its hooks be timed: `python -m benchmarks.overhead.worker ENGINE MODULE ...`."""

import importlib
import os
import runpy
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.overhead import task, timers

AGENT_THREAD = "queuedeck"
HOOKS = {
    "dramatiq": (
        ("dramatiq.boot", "Outer", ("before_process_message", "after_process_message")),
        ("dramatiq.boot", "Outer", ("before_enqueue", "after_enqueue", "after_skip_message")),
        ("dramatiq.boot", "Inner", ("before_process_message", "after_process_message")),
    ),
    "arq": (("arq.boot", "Boot", ("_started", "_ended")),),
    "taskiq": (("taskiq.boot", "Hooks", ("pre_send", "post_send", "pre_execute", "on_error")),),
}
"""Hooks that are no steps around methods: (module, class, names)."""


def main() -> None:
    """Becomes the worker."""
    engine, module = sys.argv[1:3]
    name_threads()
    if os.environ.get("BENCH_TIMED") and os.environ.get("QUEUEDECK_DSN"):
        time_hooks(engine)
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def name_threads() -> None:
    """Linux's name of a thread goes to those that it starts: the whole of the agent's are named."""
    start = threading.Thread.start

    def start_named(self: threading.Thread) -> None:
        if not self.name.startswith(AGENT_THREAD):
            start(self)
            return
        own = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        before = own.read_text()
        own.write_text(AGENT_THREAD)
        try:
            start(self)
        finally:
            own.write_text(before)

    threading.Thread.start = start_named


def time_hooks(engine: str) -> None:
    """Imports the engine: the agent puts its steps around it then."""
    from queuedeck_agent.engines.patches import Patches

    timers.notes.folder = task.FOLDER
    wrap = Patches.wrap

    def wrap_timed(
        self: Patches,
        owner: type[Any],
        name: str,
        make: Callable[[timers.Method], timers.Method],
    ) -> bool:
        return wrap(self, owner, name, timers.timed_step(make, f"step {name}"))

    Patches.wrap = wrap_timed
    importlib.import_module(engine.partition("-")[0])  # the agent attaches after this import
    for place, owner, names in HOOKS.get(engine, ()):
        kind = getattr(importlib.import_module(f"queuedeck_agent.engines.{place}"), owner)
        for name in names:
            setattr(kind, name, timers.timed(getattr(kind, name), f"{owner}.{name}"))
    if engine == "celery":
        importlib.import_module("benchmarks.overhead.celery_app").time_hooks()


if __name__ == "__main__":
    main()
