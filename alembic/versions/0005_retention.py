# SPDX-License-Identifier: AGPL-3.0-only
"""For how long each project keeps its tasks, and what they carried."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("keep_task_days", "keep_payload_days"):
        op.add_column("projects", sa.Column(name, sa.Integer(), nullable=True))
