# SPDX-License-Identifier: Apache-2.0
"""What is said of a command: to the server as an event, to the host in one line of its log."""

import time

import msgspec

from queuedeck_agent import wire

LARGEST_OUTCOME_BYTES = 120 << 10
"""A little less than a record of a lane may have."""


def said(body: wire.CommandBody) -> str:
    about = f"task {body.task_id} ({body.task_name})" if body.task_id else body.task_name
    what = one_line(about or body.queue or body.details.worker) or "this worker"
    return f"{one_line(body.verb)} of {what}, asked for by {one_line(body.actor) or 'the server'}"


def one_line(text: str) -> str:
    """One line, whatever a server sends: it writes none of its own into the host's log."""
    short = text[:300]
    return "".join(char if char.isprintable() else " " for char in short)


def failed(command_id: str, code: str, message: str) -> wire.CommandFailed:
    return wire.CommandFailed(time.time_ns() // 1_000, command_id, code, message[:2_000])


def unknown(command_id: str) -> wire.CommandFailed:
    """Of a process that died while it acted."""
    return failed(
        command_id,
        "unknown",
        "The process stopped while it carried this out, so nobody knows whether it took effect. "
        "Nothing is repeated by itself: look at the task, then decide.",
    )


def shortened(outcome: wire.Event) -> wire.Event:
    """What a lane can hold. A longer record would be dropped, and nobody told of the outcome."""
    if isinstance(outcome, wire.CommandDone):
        effect = f"{outcome.effect[:2_000]} What was found is too large to be shown."
        return msgspec.structs.replace(outcome, effect=effect, found=b"")
    return outcome


def decoded(result: bytes) -> wire.Event | None:
    try:
        return wire.decode_event(result) if result else None
    except msgspec.DecodeError:
        return None
