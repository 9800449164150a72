# SPDX-License-Identifier: AGPL-3.0-only
"""Real RQ workers with a real agent each, forked from a process that has everything imported.

A line of JSON on the standard input starts one: `{"env": {...}, "queue": ..., "log": ...,
"die": ...}`; its process id is the answer. `die` names a step of a command at which it is killed,
as nobody could do from outside: the functions of the agent are wrapped here, and nothing else.
"""

import functools
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")


class Crew:
    """The test's end."""

    def __init__(self) -> None:
        path = os.pathsep.join((str(REPOSITORY), os.environ.get("PYTHONPATH", "")))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.hostile_crew"],
            env={**os.environ, "PYTHONPATH": path, "QUEUEDECK_DSN": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def start(self, env: dict[str, str], queue: str, log: Path, die: str = "") -> int:
        """Starts a worker; its process id."""
        said = {"env": env, "queue": queue, "log": str(log), "die": die}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


PRELOADED = (
    "rq.cli.cli",
    "rq.worker",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cryptography.hazmat.primitives.ciphers.aead",
    "queuedeck_agent.link",
    "queuedeck_agent.connect",
    "tests.conformance.tasks",
)


def main() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        said = json.loads(line)
        child = os.fork()
        if child == 0:
            work(**said)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)  # the test is gone, however it went


def work(env: dict[str, str], queue: str, log: str, die: str) -> None:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, out), (2, out)):
            os.dup2(source, target)
        os.environ.update(env)
        arrange(die)
        from redis import Redis
        from rq import SimpleWorker
        from tests.conformance import tasks

        from queuedeck_agent import autoload

        tasks.QUEUE = env["TEST_QUEUE"]
        assert autoload.WATCHED
        name = f"{queue}-{os.getpid()}"
        worker = SimpleWorker([queue], connection=Redis.from_url(BROKER), name=name)
        worker.work(logging_level="INFO")
    except BaseException:
        traceback.print_exc()
    os._exit(0)


def arrange(die: str) -> None:
    """Wraps the step at which the process is to die, or to find its disk full."""
    if not die:
        return
    from queuedeck_agent.journal import Journal

    moment, _, step = die.partition(" ")
    original: Callable[..., Any] = getattr(Journal, step)

    @functools.wraps(original)
    def wrapped(*args: Any) -> Any:
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if moment == "full":
            full_disk()
        try:
            found = original(*args)
        finally:
            if moment == "full":
                room_again()
        if moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(Journal, step, wrapped)


def full_disk() -> None:
    """No file of this process can be extended by more than a few bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))


def room_again() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
