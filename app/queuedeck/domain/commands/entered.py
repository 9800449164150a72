# SPDX-License-Identifier: AGPL-3.0-only
"""What people and programs write beside a verb: arguments, queue, priority, delay. Checked here,
before anybody is asked; what was hidden when it was captured is told by its marks.
"""

import json
from typing import cast

import msgspec

from queuedeck.errors import Invalid
from queuedeck_agent import wire
from queuedeck_agent.redact import REDACTED_KEY

MAX_ARGS_BYTES = 256 << 10
MAX_QUEUE = 255
MAX_PRIORITY = 1_000_000
MAX_DELAY_S = 365 * 86_400
TRUNCATED_KEY = "~truncated"
REPR_KEY = "~repr"
"""Marks of the agent's `capture_walk`, which the server must not import; a test compares them."""
MARKS = (REDACTED_KEY, TRUNCATED_KEY, REPR_KEY)
_HIDDEN_IN_TEXT = "[redacted: "


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """A call, as somebody wrote it."""

    args: list[object] = []
    kwargs: dict[str, object] = {}
    queue: str = ""
    priority: int | None = None
    delay_s: int = 0

    def details(self) -> wire.CommandDetails:
        """For the command. Raises `Invalid`."""
        try:
            written = json.dumps({"args": self.args, "kwargs": self.kwargs}, allow_nan=False)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"The arguments cannot be written as JSON: {error}.") from error
        if len(written) > MAX_ARGS_BYTES:
            raise Invalid(f"The arguments are larger than {MAX_ARGS_BYTES >> 10} KiB.")
        return wire.CommandDetails(
            args=written.encode(),
            queue=checked_queue(self.queue),
            priority=-1 if self.priority is None else checked_priority(self.priority),
            delay_s=checked_delay(self.delay_s),
        )


def checked_queue(name: str) -> str:
    """The name without blanks around it; may be empty. Raises `Invalid`."""
    name = name.strip()
    if len(name) > MAX_QUEUE or not name.isprintable():
        raise Invalid(f"A queue's name has up to {MAX_QUEUE} printable characters.")
    return name


def checked_priority(number: int) -> int:
    """Engines have scales of their own, none with more than this. Raises `Invalid`."""
    if not 0 <= number <= MAX_PRIORITY:
        raise Invalid(f"A priority is a number from 0 to {MAX_PRIORITY:,}.")
    return number


def checked_delay(seconds: int) -> int:
    """Raises `Invalid`."""
    if not 0 <= seconds <= MAX_DELAY_S:
        raise Invalid(f"A delay is from 0 to {MAX_DELAY_S:,} seconds, which is a year.")
    return seconds


def has_mark(value: object) -> bool:
    """Whether something in it was hidden or cut when it was captured."""
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return any(mark in pairs for mark in MARKS) or any(map(has_mark, pairs.values()))
    if isinstance(value, list):
        return any(map(has_mark, cast("list[object]", value)))
    return isinstance(value, str) and _HIDDEN_IN_TEXT in value
