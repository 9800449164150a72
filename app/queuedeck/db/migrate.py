# SPDX-License-Identifier: AGPL-3.0-only
"""Brings a control database to the newest revision. Alembic is imported only when there is work to
do: it costs 0.2 s, which a normal start does not have.
"""

from sqlalchemy import Connection

from queuedeck import paths

HEAD = "0009"
"""The newest revision in alembic/versions; a test compares."""


def run_revisions(connection: Connection) -> None:
    """Run what is missing, in the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(str(paths.ALEMBIC / "alembic.ini"))
    config.set_main_option("script_location", str(paths.ALEMBIC))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
