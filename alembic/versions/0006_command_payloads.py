# SPDX-License-Identifier: AGPL-3.0-only
"""Which commands hold arguments or findings, and indexes to find what is no longer kept."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "commands",
        sa.Column("has_payload", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    commands = sa.table(
        "commands",
        sa.column("has_payload", sa.Boolean()),
        sa.column("verb", sa.String()),
        sa.column("found", sa.LargeBinary()),
    )
    op.execute(
        commands.update()
        .where(commands.c.verb.in_(("edit", "submit")) | (sa.func.length(commands.c.found) > 0))
        .values(has_payload=True)
    )
    op.create_index("ix_commands_finished", "commands", ["project_id", "finished_us"])
    op.create_index(
        "ix_commands_payload",
        "commands",
        ["project_id", "finished_us"],
        sqlite_where=sa.text("has_payload = 1"),
        postgresql_where=sa.text("has_payload"),
    )
