# SPDX-License-Identifier: AGPL-3.0-only
"""Commands on queues, workers and names beside those on tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('pending', 'sent')")


def upgrade() -> None:
    text = {"nullable": False, "server_default": ""}
    op.add_column("commands", sa.Column("target", sa.String(), **text))
    op.add_column("commands", sa.Column("only_agent", sa.String(), **text))
    op.add_column("commands", sa.Column("operation_id", sa.String(), **text))
    empty = sa.text("''") if op.get_bind().dialect.name == "postgresql" else sa.text("x''")
    for name in ("details", "found"):
        column = sa.Column(name, sa.LargeBinary(), nullable=False, server_default=empty)
        op.add_column("commands", column)
    affected = sa.Column("affected", sa.BigInteger(), nullable=False, server_default="-1")
    op.add_column("commands", affected)
    op.execute("UPDATE commands SET target = 'task:' || task_key")
    op.drop_index("uq_commands_open_task", "commands")
    op.create_index("ix_commands_operation", "commands", ["operation_id", "state"])
    op.create_index(
        "uq_commands_open_target",
        "commands",
        ["project_id", "target", "verb", "only_agent"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
