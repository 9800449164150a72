# SPDX-License-Identifier: Apache-2.0
"""`contained`: our own mistakes never reach the host, and the host's exceptions always do.

Time limits are raised *asynchronously* inside whatever runs, our hooks included (from a signal
handler, or by PyThreadState_SetAsyncExc). Swallowing one would let a task run for ever.
"""

import functools
import logging
import signal
import sys
from collections import Counter
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("queuedeck_agent")

failures: Counter[str] = Counter()
"""How often each site failed since the process began. For the heartbeat and the doctor."""

_HOST_TYPES = {
    "billiard.exceptions.SoftTimeLimitExceeded",
    "billiard.exceptions.TimeLimitExceeded",
    "celery.exceptions.SoftTimeLimitExceeded",
    "rq.timeouts.BaseTimeoutException",
    "dramatiq.middleware.threading.Interrupt",
    "huey.exceptions.TaskTimeout",
}
"""Exceptions that an engine raises into a running task, by name: we import no engine here."""

_OURS = {"builtins", "queuedeck_agent", "msgspec", "cryptography", "websockets"}
_OURS.update(sys.stdlib_module_names)
"""Where the types of exceptions come from that our own lines may raise."""


def contained(function: Callable[P, R]) -> Callable[P, R | None]:
    """Returns None instead of raising, logs once per site, counts; lets the host's own through."""
    site = f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not absorbed(error, site):
                raise
            return None

    return guarded


def absorbed(error: Exception, site: str) -> bool:
    """Whether it was a failure of ours, which is noted; the caller raises the host's own again.

    What `contained` does, for code that runs so often that one more function is too many.
    """
    if is_hosts(error):
        return False
    note(site, error)
    return True


def note(site: str, error: BaseException) -> None:
    """Counts a failure of ours, and logs the first one of each site."""
    failures[site] += 1
    if failures[site] == 1:
        log.warning(
            "Queuedeck's agent failed in %s (%s: %s). Your tasks are not affected; further "
            "failures here are only counted. Please report it.",
            site,
            type(error).__name__,
            str(error)[:200],
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
        )


def let_through(*types: type[BaseException]) -> None:
    """An adapter names further exceptions that its engine raises into running tasks."""
    _HOST_TYPES.update(f"{one.__module__}.{one.__qualname__}" for one in types)


def is_hosts(error: BaseException) -> bool:
    """Whether the host raised this into our code, rather than our code having failed."""
    kind = type(error)
    if any(f"{base.__module__}.{base.__qualname__}" in _HOST_TYPES for base in kind.__mro__):
        return True
    if _came_through_a_signal(error.__traceback__):
        return True
    frame = _innermost(error.__traceback__)
    if not _is_our_code(frame):
        return False  # raised inside a library or an object that our hook called
    if kind is TimeoutError:
        return not error.args  # nothing of ours waits inside a hook
    return kind.__module__.partition(".")[0] not in _OURS


def _came_through_a_signal(trace: TracebackType | None) -> bool:
    handlers = _handler_codes()
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _handler_codes() -> set[CodeType]:
    codes: set[CodeType] = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        if isinstance(code, CodeType):
            codes.add(code)
    return codes


def _innermost(trace: TracebackType | None) -> CodeType | None:
    code = None
    while trace is not None:
        code = trace.tb_frame.f_code
        trace = trace.tb_next
    return code


def _is_our_code(code: CodeType | None) -> bool:
    return code is not None and code.co_filename.startswith(_PACKAGE)


_PACKAGE = __file__.rpartition("/")[0] + "/"
