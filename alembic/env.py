# SPDX-License-Identifier: AGPL-3.0-only
"""Runs the revisions on the connection that `queuedeck.db.migrate` opened, in its transaction."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=context.config.attributes.get("target_metadata")
)
context.run_migrations()
