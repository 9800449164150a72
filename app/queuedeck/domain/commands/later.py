# SPDX-License-Identifier: AGPL-3.0-only
"""When a new task may start: in some time, or at a time. Kept as whole seconds from the moment that
it was asked for; agents are told what is left of them, so no clock of theirs takes part. Pure.
"""

import re
from datetime import UTC, datetime, timedelta

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.commands.entered import checked_delay
from queuedeck.domain.commands.queries import CommandSeen
from queuedeck.domain.tasks.amounts import duration_us
from queuedeck.errors import Invalid

EXAMPLES = "30m, 2h, 14:00, or 2030-01-31 14:00; times are UTC"
_CLOCK = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def delay_of(text: str, now_us: int) -> int:
    """Seconds from now, of what somebody wrote; a number alone is seconds, nothing is 0. A time of
    day is the next one. Raises `Invalid`.
    """
    text = text.strip()
    if not text or text.isdecimal():
        return checked_delay(int(text[:12] or 0))
    duration = duration_us(text)
    if duration is not None:
        return checked_delay(-(-duration // SECOND_US))
    return seconds_until(_instant_us(text, now_us), now_us)


def seconds_until(at_us: int, now_us: int) -> int:
    """Whole seconds, so that it is never too early. Raises `Invalid` for what has passed."""
    if at_us < now_us:
        raise Invalid("That time has passed.")
    return checked_delay(-(-(at_us - now_us) // SECOND_US))


def still_due(command: CommandSeen, now_us: int) -> CommandSeen:
    """The command as an agent is to have it now: with what is left of its delay."""
    details = command.details
    if not details.delay_s:
        return command
    due_us = command.created_us + details.delay_s * SECOND_US
    left = max(0, -(-(due_us - now_us) // SECOND_US))
    details = msgspec.structs.replace(details, delay_s=left)
    return msgspec.structs.replace(command, details=details)


def _instant_us(text: str, now_us: int) -> int:
    now = _EPOCH + timedelta(microseconds=now_us)
    try:
        if _CLOCK.fullmatch(text):
            at = datetime.fromisoformat(f"{now:%Y-%m-%d} {text}").replace(tzinfo=UTC)
            at += timedelta(days=at < now)
        else:
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (at - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Invalid(f"{text[:40]!r} is no time. Write for example {EXAMPLES}.") from None
