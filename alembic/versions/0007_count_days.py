# SPDX-License-Identifier: AGPL-3.0-only
"""For how long each project keeps its counts."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("keep_count_days", sa.Integer(), nullable=True))
