# SPDX-License-Identifier: AGPL-3.0-only
"""An operation: one act on many tasks, frozen before it begins. All that is known of it is rows, so
it goes on after a restart where it was.
"""

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros


class Operation(Base):
    """What was asked for, of which tasks, by whom, how fast, and how far it has come."""

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_project", "project_id", "created_us"),
        Index("ix_operations_state", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    """32 hex digits. The form of the preview chose it: sent twice, it is one operation."""
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    verb: Mapped[str]
    """What the operator chose: one of `rules.VERBS`."""
    details: Mapped[bytes] = mapped_column(LargeBinary)
    """A msgpack `wire.CommandDetails`, or empty."""
    question: Mapped[str]
    """The filter in the task list's language; empty where tasks were named one by one."""
    keys: Mapped[bytes] = mapped_column(LargeBinary)
    """A msgpack list of the tasks that were named one by one; empty: by the question."""
    parent_id: Mapped[str]
    """The operation whose failed tasks these are; empty: none."""
    newest_key: Mapped[int] = mapped_column(BigInteger)
    """No task that came after the preview belongs to it."""
    cursor: Mapped[str]
    """How far the freezing has come."""
    expected: Mapped[int] = mapped_column(BigInteger)
    """How many tasks the preview counted, and of these how many it would have acted on."""
    expected_acts: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    """freezing, armed, running, paused, stopping, finished, stopped or disarmed."""
    rate: Mapped[int]
    """Commands a second, as chosen."""
    slowed_rate: Mapped[int]
    """Commands a second now: less than `rate` after a host said that it was too fast."""
    paced_us: Mapped[Micros]
    """Up to when the rate is used up; the next command may be written after it."""
    canary: Mapped[int]
    """How many go first; 0: no canary."""
    canary_state: Mapped[str]
    """Empty, `trying`, `passed` or `failed`."""
    reason: Mapped[str]
    """The operator's own words."""
    note: Mapped[str]
    """Why it stands where it does, for people."""
    requested_by: Mapped[str]
    changed_by: Mapped[str]
    """Who pressed the last button."""
    audit_seq: Mapped[int] = mapped_column(BigInteger)
    created_us: Mapped[Micros]
    armed_us: Mapped[Micros | None]
    """When the armed time ends: nothing leaves before it."""
    started_us: Mapped[Micros | None]
    finished_us: Mapped[Micros | None]


class OperationTask(Base):
    """One task of an operation, as it was when the set was frozen, and what came of it."""

    __tablename__ = "operation_tasks"
    __table_args__ = (Index("ix_operation_tasks_state", "operation_id", "state", "task_key"),)

    operation_id: Mapped[str] = mapped_column(primary_key=True)
    task_key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    engine: Mapped[str]
    source: Mapped[str]
    task_id: Mapped[str]
    task_name: Mapped[str]
    queue: Mapped[str]
    was: Mapped[str]
    """The task's state when the set was frozen."""
    is_canary: Mapped[bool]
    state: Mapped[str]
    """waiting, open, done, failed, unknown, skipped or stopped."""
    code: Mapped[str]
    """Of a failure or a skip, for counting."""
    message: Mapped[str]
    new_task_id: Mapped[str]
    command_id: Mapped[str]
    changed_us: Mapped[Micros]
