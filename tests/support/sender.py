# SPDX-License-Identifier: AGPL-3.0-only
"""A process beside the application, for example a web process, that sends what a test asks it to.

Started once and asked often: a new interpreter for each task would take longer than the task.
"""

import asyncio
import importlib
import inspect
import json
import os
import select
import subprocess
import sys
import traceback
from typing import Any

SECONDS = 30


class Sender:
    """The test's end. `attached`: with the agent, as `queuedeck-agent run` attaches it."""

    def __init__(self, module: str, env: dict[str, str], attached: bool) -> None:
        run = ["-m", "queuedeck_agent.cli", "run", "--", sys.executable] if attached else []
        self.process = subprocess.Popen(
            [sys.executable, *run, "-m", "tests.support.sender", module],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, expression: str) -> Any:
        """The value of an expression in the application's module, awaited if it must be."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(expression).encode() + b"\n")
        self.process.stdin.flush()
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
            assert ready, f"no answer to {expression}"
            part = os.read(self.process.stdout.fileno(), 65536)
            assert part, f"the sender died over {expression}"
            line += part
        value, error = json.loads(line)
        assert not error, error
        return value

    def close(self) -> None:
        """Ends the process as one that has nothing more to do."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(15)
        assert self.process.stdout is not None
        self.process.stdout.close()


def main(module: str) -> None:
    names = vars(importlib.import_module(module))
    loop = asyncio.new_event_loop()
    for line in sys.stdin:
        value: Any = None
        error = ""
        try:
            value = eval(json.loads(line), names)
            if inspect.isawaitable(value):
                value = loop.run_until_complete(_awaited(value))
        except BaseException:
            error = traceback.format_exc()
        sys.stdout.write(json.dumps((value, error), default=str) + "\n")
        sys.stdout.flush()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _awaited(value: Any) -> Any:
    return await value


if __name__ == "__main__":
    main(sys.argv[1])
