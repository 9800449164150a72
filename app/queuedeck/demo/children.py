# SPDX-License-Identifier: AGPL-3.0-only
"""The processes of the demo: each in a session of its own with its output in a log file, watched,
and stopped in order.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from queuedeck.errors import Unavailable

STOP_TIMEOUT_S = 10.0
LOG_TAIL_LINES = 15


class Child:
    """One process and all that it starts itself."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._asked = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raise `Unavailable` with the end of its log when it has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise Unavailable(
                f"The {self.name} ended with code {code}. Its log ends:\n{self.tail()}"
            )

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting: several can then end at the same time."""
        if self.is_running():
            self._asked = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """SIGTERM, unless it was asked before: a second one makes some workers drop their tasks.
        After the timeout SIGKILL for the whole group. Whether it ended by itself."""
        clean = True
        if self.is_running():
            if not self._asked:
                self.ask_to_stop()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                clean = False
        self.kill()
        return clean

    def kill(self) -> None:
        """SIGKILL for whatever is left of the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def start(
    name: str,
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    feed: str = "",
) -> Child:
    """Start a process in `folder` with its output in `<folder>/<name>.log`.

    A session of its own keeps the Ctrl-C of the terminal away from it: the demo stops its
    processes in order. `feed` is what it reads on standard input.
    """
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            list(command),
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(feed.encode())
            process.stdin.close()
    return Child(name, process, log)
