# SPDX-License-Identifier: AGPL-3.0-only
"""Operations: one act on many tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "operations",
        _text("id"),
        sa.Column("project_id", ROW_ID, nullable=False),
        _text("verb"),
        _bytes("details"),
        _text("question"),
        _bytes("keys"),
        _text("parent_id"),
        _number("newest_key"),
        _text("cursor"),
        _number("expected"),
        _number("expected_acts"),
        _text("state"),
        sa.Column("rate", sa.Integer(), nullable=False),
        sa.Column("slowed_rate", sa.Integer(), nullable=False),
        _number("paced_us"),
        sa.Column("canary", sa.Integer(), nullable=False),
        _text("canary_state"),
        _text("reason"),
        _text("note"),
        _text("requested_by"),
        _text("changed_by"),
        _number("audit_seq"),
        _number("created_us"),
        _number("armed_us", nullable=True),
        _number("started_us", nullable=True),
        _number("finished_us", nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_operations_project_id_projects"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
    )
    op.create_index("ix_operations_project", "operations", ["project_id", "created_us"])
    op.create_index("ix_operations_state", "operations", ["state"])
    op.create_table(
        "operation_tasks",
        _text("operation_id"),
        sa.Column("task_key", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("engine"),
        _text("source"),
        _text("task_id"),
        _text("task_name"),
        _text("queue"),
        _text("was"),
        sa.Column("is_canary", sa.Boolean(), nullable=False),
        _text("state"),
        _text("code"),
        _text("message"),
        _text("new_task_id"),
        _text("command_id"),
        _number("changed_us"),
        sa.PrimaryKeyConstraint("operation_id", "task_key", name="pk_operation_tasks"),
    )
    op.create_index(
        "ix_operation_tasks_state", "operation_tasks", ["operation_id", "state", "task_key"]
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
