# SPDX-License-Identifier: AGPL-3.0-only
"""Pauses of queues, and the commands of a queue or a worker by their time."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.text("ended_us IS NULL")


def upgrade() -> None:
    op.create_table(
        "pauses",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("project_id", ROW_ID, nullable=False),
        *(_text(name) for name in ("source", "engine", "queue", "reason", "requested_by")),
        sa.Column("audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        _text("ended_by"),
        sa.Column("end_audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], "fk_pauses_project_id_projects"),
        sa.PrimaryKeyConstraint("id", name="pk_pauses"),
    )
    op.create_index("ix_pauses_settled", "pauses", ["settled", "project_id"])
    op.create_index(
        "uq_pauses_open",
        "pauses",
        ["project_id", "source", "queue"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_table(
        "pause_orders",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("pause_id", ROW_ID, nullable=False),
        *(_text(name) for name in ("agent_id", "host", "worker", "verb", "command_id")),
        sa.ForeignKeyConstraint(["pause_id"], ["pauses.id"], "fk_pause_orders_pause_id_pauses"),
        sa.ForeignKeyConstraint(
            ["command_id"], ["commands.id"], "fk_pause_orders_command_id_commands"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pause_orders"),
    )
    op.create_index("ix_pause_orders_pause", "pause_orders", ["pause_id"])
    op.create_index("ix_commands_target", "commands", ["project_id", "target", "created_us"])


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)
