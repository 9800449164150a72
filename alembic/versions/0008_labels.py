# SPDX-License-Identifier: AGPL-3.0-only
"""Rules that name and mark tasks, and whether a project uses those that are shipped."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXTS = ("kind", "pattern", "template", "title", "test", "path", "value", "changed_by")


def upgrade() -> None:
    op.create_table(
        "label_rules",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("project_id", ROW_ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in TEXTS),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], "fk_label_rules_project_id_projects"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_label_rules"),
    )
    op.create_index("ix_label_rules_project", "label_rules", ["project_id", "position"])
    op.add_column(
        "projects",
        sa.Column("label_defaults", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
