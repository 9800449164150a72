# SPDX-License-Identifier: Apache-2.0
"""What a running task says beside its states: progress, tags, log lines, and the trace it is in.

Nothing here runs until a task says something, or OpenTelemetry is imported. Each adapter gives one
function that finds the attempt that runs in the caller's thread or context.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from queuedeck_agent import capture, redact, wire
from queuedeck_agent.guard import contained

log = logging.getLogger("queuedeck_agent")

TRACER = "opentelemetry.trace"
"""Is in `sys.modules` where the host uses OpenTelemetry: never imported by us."""
PROGRESS_EVERY_S = 1.0
"""Of the reports of one attempt in so much time, the first and the last are sent."""
MAX_PROGRESS_CHARS = 200
MAX_TAGS = 20
MAX_TAG_CHARS = 64
MOST_OPEN = 1_000
"""So many attempts that have said something are remembered. Each is forgotten when it ends."""

Emit = Callable[[wire.Event], None]


class Here(NamedTuple):
    """An attempt that runs in the caller's thread or context."""

    source: str
    task_id: str
    attempt: int


Finder = Callable[[], Here | None]


class Said:
    """What one attempt has said so far."""

    __slots__ = ("after", "busy", "held", "here", "left_out", "lines", "size", "tags")

    def __init__(self, here: Here) -> None:
        self.here = here
        self.after = 0.0
        """Until then progress is held."""
        self.held: tuple[int, float, float, str] | None = None
        """The newest progress that was not sent: time, current, total, message."""
        self.tags: set[str] = set()
        self.lines = 0
        self.size = 0
        """Bytes of its log lines."""
        self.left_out = 0
        self.busy = False
        """A line of its log is being made."""


class Extras:
    """Of one process; `Recorder` has it."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._finders: list[Finder] = []
        self.open: dict[Here, Said] = {}
        """Attempts that run here and have said something."""
        self._traced: dict[Here, None] = {}
        """Attempts that run here and whose trace was told."""
        self.is_used = False
        """There is something for a child to forget."""
        self._flushing = False
        self._warned: set[str] = set()

    def find_by(self, finder: Finder) -> None:
        """An adapter says how to find what runs here."""
        self._finders.append(finder)

    def forget(self) -> None:
        """In a forked child: what runs in the parent is told by the parent."""
        self.open, self._traced, self._flushing, self.is_used = {}, {}, False, False

    def said_here(self) -> Said | None:
        """What the attempt that runs here has said; None outside of a task."""
        for finder in self._finders:
            here = finder()
            if here is not None:
                return self.open.get(here) or self._begun(here)
        return None

    @contained
    def progress(self, current: Any, total: Any, message: Any) -> None:
        """`queuedeck_agent.progress`."""
        said = self.said_here()
        if said is None:
            return
        amounts = _amounts(current, total)
        if amounts is None:
            self._warn_once("progress() takes numbers from 0 on; a call with others is ignored.")
            return
        said.held = (time.time_ns() // 1_000, *amounts, _text(message))
        if time.monotonic() >= said.after:
            self._send_held(said)
        else:
            self._flush_later()

    @contained
    def tag(self, tags: tuple[Any, ...]) -> None:
        """`queuedeck_agent.tag`."""
        said = self.said_here()
        if said is None:
            return
        new: list[str] = []
        for one in tags:
            if _is_plain(one) and (one in said.tags or one in new):
                continue
            if len(said.tags) + len(new) < MAX_TAGS and _is_plain(one):
                new.append(_text(one))
            else:
                self._warn_once(
                    f"tag() takes up to {MAX_TAGS} tags for a task, of plain text and up to "
                    f"{MAX_TAG_CHARS} characters, without secrets; others are left out."
                )
        if new:
            said.tags.update(new)
            self.emit(wire.TaskTagged(time.time_ns() // 1_000, *said.here, tuple(new)))

    @contained
    def before(self, event: wire.Event) -> None:
        """Right before an event of this process is recorded: at the end of an attempt, what is
        held comes first; at both ends of it a trace may be found."""
        kind = type(event)
        if kind is wire.TaskStarted:
            self._trace(_here_of(event))
        elif kind in _ENDS:
            here = _here_of(event)
            said = self.open.pop(here, None)
            if said is not None:
                self._end(said)
            self._trace(here)
            self._traced.pop(here, None)

    def _begun(self, here: Here) -> Said:
        while len(self.open) >= MOST_OPEN:
            self.open.pop(next(iter(self.open)), None)
        said = self.open[here] = Said(here)
        self.is_used = True
        if TRACER in sys.modules:
            self._trace(here)
        return said

    def _end(self, said: Said) -> None:
        self._send_held(said)
        if said.left_out:
            now = time.time_ns() // 1_000
            self.emit(wire.TaskLogged(now, *said.here, said.lines + 1, (), said.left_out))

    def _send_held(self, said: Said) -> None:
        held, said.held = said.held, None
        if held is None:
            return
        said.after = time.monotonic() + PROGRESS_EVERY_S
        at_us, current, total, message = held
        text = capture.text(message, MAX_PROGRESS_CHARS) if message else ""
        self.emit(wire.TaskProgressed(at_us, *said.here, current, total, text))

    def _flush_later(self) -> None:
        """A thread that lives as long as something is held, about a second: the task may not call
        again for long. A forked child has no other thread of ours."""
        if not self._flushing:
            self._flushing = True
            threading.Thread(target=self._flush, name="queuedeck-extras", daemon=True).start()

    @contained
    def _flush(self) -> None:
        while True:
            held = [said for said in list(self.open.values()) if said.held is not None]
            if not held:
                self._flushing = False
                if not any(said.held for said in list(self.open.values())) or self._flushing:
                    return
                self._flushing = True
                continue
            now = time.monotonic()
            for said in held:
                if said.after <= now:
                    self._send_held(said)
            time.sleep(max(0.01, min(said.after for said in held) - now))

    def _trace(self, here: Here) -> None:
        if here in self._traced:
            return
        found = _current_trace()
        if found is not None:
            while len(self._traced) >= MOST_OPEN:
                self._traced.pop(next(iter(self._traced)), None)
            self._traced[here] = None
            self.is_used = True
            self.emit(wire.TaskTraced(time.time_ns() // 1_000, *here, *found))

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("Queuedeck: %s", text)


_ENDS = frozenset({
    wire.TaskSucceeded, wire.TaskFailed, wire.TaskRetrying, wire.TaskCancelled, wire.TaskLost,
})  # fmt: skip


def _here_of(event: Any) -> Here:
    return Here(event.source, event.task_id, event.attempt)


def _amounts(current: Any, total: Any) -> tuple[float, float] | None:
    """Both as the wire has them; None where they are no amounts."""
    try:
        amounts = float(current), -1.0 if total is None else float(total)
    except (TypeError, ValueError, OverflowError):
        return None
    if not 0 <= amounts[0] < _NEVER or (total is not None and not 0 <= amounts[1] < _NEVER):
        return None
    return amounts


_NEVER = 1e18
"""Infinity, and what is not a number, are no amounts either."""


def _text(value: Any) -> str:
    """A plain `str`, of a subclass too: only that can be written."""
    return str.__str__(str(value)) if value else ""


def _is_plain(tag: Any) -> bool:
    return (
        isinstance(tag, str)
        and 0 < len(tag) <= MAX_TAG_CHARS
        and tag.isprintable()
        and tag == tag.strip()
        and redact.redact_text(tag) == tag
    )


def _current_trace() -> tuple[str, str] | None:
    """(trace id, span id) of the span that is current here, by the host's own OpenTelemetry."""
    current_span = getattr(sys.modules.get(TRACER), "get_current_span", None)
    if current_span is None:
        return None
    context = current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"
