# SPDX-License-Identifier: Apache-2.0
"""Lines that a host's loggers write while a task runs, where QUEUEDECK_LOGS asks for them.

`Logger.callHandlers` is watched, rather than a handler added: with a handler on the root logger
`logging.basicConfig` would do nothing any more and Python's last resort would fall silent, and
Celery, `dictConfig` and `propagate = False` would take it away. So the host's levels, handlers and
output stay as they are, and a line that its own levels drop is not seen here either.
"""

import logging
import time
import traceback
from typing import Any

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.patches import Method, Patches
from queuedeck_agent.extras import Extras, Said
from queuedeck_agent.guard import contained

MAX_LINES = 500
"""Of one attempt; so are the bytes. A quarter of both is kept for warnings and errors."""
MAX_BYTES = 64 * 1024
MAX_MESSAGE_CHARS = 1_024
MAX_TAIL_CHARS = 3 * 1_024
"""Of a longer text, a traceback most of all, so much of the end is kept as well."""
MAX_NAME_CHARS = 100

_ENGINES = frozenset(
    {"arq", "celery", "dramatiq", "huey", "kombu", "queuedeck_agent", "rq", "taskiq"}
)
_TASKS_OWN = ("celery.redirected", "celery.task")
"""What a task prints, under Celery, and loggers made for tasks."""


class Logs:
    """One for each process that wants lines of this level and above."""

    def __init__(self, extras: Extras, level: int) -> None:
        self._extras = extras
        self._level = level
        self._patches = Patches()

    def follow(self) -> None:
        """From now on lines of running tasks are recorded."""
        self._patches.wrap(logging.Logger, "callHandlers", self._watched)

    def leave(self) -> None:
        self._patches.undo()

    def _watched(self, original: Method) -> Method:
        def callHandlers(logger: Any, record: Any) -> Any:  # noqa: N802 - the name it has
            if record.levelno >= self._level:
                self._take(record)
            return original(logger, record)

        return callHandlers

    @contained
    def _take(self, record: logging.LogRecord) -> None:
        if _is_engines_own(record.name):
            return
        said = self._extras.said_here()
        if said is None or said.busy:
            return
        said.busy = True  # a value that logs while it is made a text
        try:
            self._add(said, record)
        finally:
            said.busy = False

    def _add(self, said: Said, record: logging.LogRecord) -> None:
        if not _fits(said, record.levelno):
            said.left_out += 1
            return
        text = capture.ends_of(_text_of(record), MAX_MESSAGE_CHARS, MAX_TAIL_CHARS)
        now = time.time_ns() // 1_000
        line = wire.LogLine(now, record.levelno, record.name[:MAX_NAME_CHARS], text)
        said.lines += 1
        said.size += len(text.encode()) + len(line.logger)
        self._extras.emit(wire.TaskLogged(now, *said.here, said.lines, (line,)))


def _fits(said: Said, level: int) -> bool:
    share = 4 if level >= logging.WARNING else 3
    return said.lines * 4 < MAX_LINES * share and said.size * 4 < MAX_BYTES * share


def _text_of(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        return f"{text}\n{''.join(traceback.format_exception(record.exc_info[1]))}".rstrip()
    return text


def _is_engines_own(name: str) -> bool:
    """Engines log that a task began and ended, with arguments and results as they are: all that is
    on its page anyway, and there it is redacted."""
    return name.partition(".")[0] in _ENGINES and not name.startswith(_TASKS_OWN)
