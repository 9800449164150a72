# SPDX-License-Identifier: Apache-2.0
"""What the commands of every engine share: a verb's method, and the form of an answer."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.errors import CommandRefused

Action = Callable[[wire.CommandBody, bytes], wire.CommandDone]
"""Carries out a permitted command; the bytes are the opened sealed call, else empty."""

NameOf = Callable[[wire.CommandBody], str]

MAX_FOUND = 100
"""Messages that `peek` and `dead` show at most."""
MAX_FOUND_BYTES = 96 * 1024
"""With the rest of the answer, one record of a lane."""


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message that waits or was given up, as `peek` and `dead` show it. Times are 0 and texts
    empty where the broker does not know."""

    id: str
    name: str = ""
    args: msgspec.Raw = msgspec.Raw(b"null")
    """Redacted JSON `{"args": [...], "kwargs": {...}}`."""
    at_us: int = 0
    """When it was enqueued, or given up."""
    due_us: int = 0
    attempt: int = 0
    priority: int = -1
    error: str = ""
    """Redacted: why it was given up."""


class Reconciled(msgspec.Struct, frozen=True):
    """What the engine itself says of a task now, as `reconcile` shows it."""

    state: str
    """`queued`, `scheduled`, `running`, `succeeded`, `failed`, `cancelled`, or `gone`: the engine
    knows nothing of it any more."""
    where: str = ""
    """In the engine's own words: which queue, registry, worker."""


_json = msgspec.json.Encoder().encode


def no_name(_command: wire.CommandBody) -> str:
    """Until the adapter is attached: no message is found."""
    return ""


def carry_out(
    actions: Mapping[str, Action], command: wire.CommandBody, call: bytes, reasons: str = ""
) -> wire.CommandDone:
    """The action of the command's verb; raises `CommandRefused` where there is none."""
    action = actions.get(command.verb)
    if action is None:
        raise CommandRefused("unsupported", f"`{command.verb}` is not possible here. {reasons}")
    return action(command, call)


def done(
    command: wire.CommandBody,
    effect: str,
    new_task_id: str = "",
    *,
    verified: bool = True,
    affected: int = -1,
    found: bytes = b"",
) -> wire.CommandDone:
    """`effect`: one sentence for the operator, in the engine's own terms."""
    at_us = time.time_ns() // 1_000
    return wire.CommandDone(
        at_us, command.command_id, effect, new_task_id, verified, affected, found
    )


def messages(found: list[Found]) -> bytes:
    """As many of them as fit, for `CommandDone.found`."""
    kept: list[Found] = []
    room = MAX_FOUND_BYTES
    for one in found[:MAX_FOUND]:
        room -= len(_json(one))
        if room < 0:
            break
        kept.append(one)
    return _json(kept)


def shown(args: Any, kwargs: Any, hidden: Any = ()) -> msgspec.Raw:
    """Redacted arguments of a message that waits."""
    return msgspec.Raw(capture.arguments(args, kwargs, hidden).json)


def reconciled(state: str, where: str = "") -> bytes:
    """For `CommandDone.found`."""
    return _json(Reconciled(state, where))


def within(check: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time; asks the broker again and again."""
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
    return True


def stays(check: Callable[[], bool], seconds: float) -> bool:
    """Whether it stayed true so long."""
    return not within(lambda: not check(), seconds)
