# SPDX-License-Identifier: AGPL-3.0-only
"""One run of the demo: start everything, show the link, and go on until Ctrl-C; or, unattended,
act by itself, wait until all is quiet, count and compare.
"""

import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec

from queuedeck.demo.count import count
from queuedeck.demo.operator import Operator
from queuedeck.demo.stage import Stage
from queuedeck.demo.tally import Tally, disagreements, report
from queuedeck.errors import QueuedeckError

LOOK_EVERY_S = 0.5
LEAST_PRODUCING_S = 12.0
"""How long an unattended run goes on at least once its server is ready, however short it was asked
to be: time for the workers to start and to do a bit of everything."""
WIND_DOWN_S = 15.0
"""The end of an unattended run, in which nothing new is sent."""
QUIET_TIMEOUT_S = 45.0
"""How long to wait for the last tasks before the counts are compared as they are."""
LATER_S = 120.0
UNATTENDED_LATER_S = 8.0
"""When the shop's tasks for later are due. Unattended: late enough to be cancelled while they wait,
and before the run ends, as Celery says that a cancelled task is gone only when it is due."""

Say = Callable[[str], None]


def run(*, seconds: int | None = None, as_json: bool = False, port: int | None = None) -> int:
    """Run the demo until Ctrl-C, or unattended for about so many seconds; the exit code.

    Unattended, 0 means that all counts agree and a retry was done. With `as_json` standard output
    holds nothing but the one line of numbers.
    """
    human = sys.stderr if as_json else sys.stdout

    def say(text: str) -> None:
        human.write(text + "\n")
        human.flush()

    folder = Path(tempfile.mkdtemp(prefix="queuedeck-demo-"))
    try:
        with _signals_interrupt(), Stage(folder, port) as stage:
            if seconds is None:
                return _attended(stage, say)
            return _unattended(stage, say, seconds, as_json)
    except KeyboardInterrupt:
        say("Stopped; nothing of the demo is left.")
        return 0 if seconds is None else 1
    except QueuedeckError as error:
        sys.stderr.write(f"queuedeck demo: {error}\n")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _attended(stage: Stage, say: Say) -> int:
    say(
        "Starting a server, a broker, a worker for each engine, and a small shop that uses them ..."
    )
    stage.start(LATER_S)
    say(f"\n  Open this link within half an hour; it logs you in, once:\n\n    {stage.link()}\n")
    for part in stage.parts:
        say(f"  {part.title:<9} {part.does:<16} {' '.join(part.command)}")
    for engine, reason in stage.missing.items():
        say(f"  {engine} does not run: {reason}.")
    say(
        f"\n  After a minute, look at Tasks, Queues, Errors and Trends. To filter tasks:"
        f" engine:rq, state:failed.\n"
        f"  Later logins: {stage.email} with the password {stage.password}\n"
        f"  Broker: {stage.broker_name}. Logs and data: {stage.folder}\n"
        "  Ctrl-C stops everything and removes the folder."
    )
    while True:
        for sentence in stage.check():
            say(f"  {sentence}")
        time.sleep(LOOK_EVERY_S)


def _unattended(stage: Stage, say: Say, seconds: int, as_json: bool) -> int:
    began = time.monotonic()
    stage.start(UNATTENDED_LATER_S)
    say(f"{stage.url} answers after {time.monotonic() - began:.1f} s; the workers are starting.")
    operator = Operator(stage.client)
    until = max(began + seconds - WIND_DOWN_S, time.monotonic() + LEAST_PRODUCING_S)
    while time.monotonic() < until:
        _look(stage, operator, say)
    stage.stop_publishers()
    say("Nothing new is sent any more; waiting for the last tasks.")
    tally = _wait_until_quiet(stage, operator, say)
    problems = [
        *(f"{engine} does not run: {reason}." for engine, reason in stage.missing.items()),
        *disagreements(tally),
        *operator.complaints,
    ]
    for problem in problems:
        sys.stderr.write(f"queuedeck demo: {problem}\n")
    say(f"Compared after {time.monotonic() - began:.1f} s.")
    numbers = report(tally)
    sys.stdout.write((json.dumps(numbers) if as_json else _in_words(numbers)) + "\n")
    sys.stdout.flush()
    return 1 if problems else 0


def _look(stage: Stage, operator: Operator, say: Say) -> None:
    for sentence in stage.check():
        say(sentence)
    operator.look(stage.client.tasks())
    operator.follow()
    time.sleep(LOOK_EVERY_S)


def _wait_until_quiet(stage: Stage, operator: Operator, say: Say) -> Tally:
    """The counts once they agree and nothing is under way; at the latest after the timeout."""
    until = time.monotonic() + QUIET_TIMEOUT_S
    before: Tally | None = None
    while True:
        _look(stage, operator, say)
        engines = [part.engine for part in stage.parts]
        tally = count(stage.client, stage.broker_url, operator, engines, stage.missing)
        settled = operator.follow() and not disagreements(tally) and tally.all_ended
        if (settled and tally == before) or time.monotonic() > until:
            return tally
        before = tally


def _in_words(numbers: object) -> str:
    return msgspec.json.format(json.dumps(numbers), indent=2)


@contextlib.contextmanager
def _signals_interrupt() -> Generator[None]:
    """SIGTERM and the closing of the terminal stop the demo as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
