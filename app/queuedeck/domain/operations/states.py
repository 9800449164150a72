# SPDX-License-Identifier: AGPL-3.0-only
"""Where an operation stands, and each of its tasks."""

from enum import StrEnum


class OperationState(StrEnum):
    """From left to right; paused and running take turns."""

    FREEZING = "freezing"
    """The set is being written down."""
    ARMED = "armed"
    """Ten seconds in which nothing leaves and anybody may disarm."""
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    """What is on its way ends; nothing else leaves."""
    FINISHED = "finished"
    STOPPED = "stopped"
    DISARMED = "disarmed"


ACTIVE = (
    OperationState.FREEZING,
    OperationState.ARMED,
    OperationState.RUNNING,
    OperationState.STOPPING,
)
"""In these the server has work to do."""
ENDED = (OperationState.FINISHED, OperationState.STOPPED, OperationState.DISARMED)


class TaskOutcome(StrEnum):
    """What came of one task of an operation."""

    WAITING = "waiting"
    OPEN = "open"
    """Its command is on its way."""
    DONE = "done"
    FAILED = "failed"
    """The agent refused or could not, or no agent took it: nothing was done."""
    UNKNOWN = "unknown"
    """An agent took it and did not answer: it may have been done. Never repeated by itself."""
    SKIPPED = "skipped"
    STOPPED = "stopped"
    """The operation was stopped or disarmed before its turn came."""
