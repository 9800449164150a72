# SPDX-License-Identifier: AGPL-3.0-only
"""Filters of the task list under a name."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "saved_views",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("project_id", ROW_ID, nullable=False),
        sa.Column("owner_id", ROW_ID, nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("name", "question", "made_by")),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], "fk_saved_views_project_id_projects"
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], "fk_saved_views_owner_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_saved_views"),
    )
    op.create_index("ix_saved_views_project", "saved_views", ["project_id", "owner_id"])
