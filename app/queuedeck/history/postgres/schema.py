# SPDX-License-Identifier: AGPL-3.0-only
"""The history's own schema in the database."""

import re

from queuedeck.errors import Unavailable
from queuedeck.history.postgres.connection import PostgresDatabase
from queuedeck.history.sql.tables import ALL_TABLES

LAYOUT = 1
"""Kept in the table `layout`. Counts up when older code could not read the schema."""

_FUNCTIONS = """
CREATE FUNCTION min(a BIGINT, b BIGINT) RETURNS BIGINT IMMUTABLE LANGUAGE sql
  RETURN CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE least(a, b) END;
CREATE FUNCTION max(a BIGINT, b BIGINT) RETURNS BIGINT IMMUTABLE LANGUAGE sql
  RETURN CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE greatest(a, b) END;
CREATE FUNCTION min(a TEXT, b TEXT) RETURNS TEXT IMMUTABLE LANGUAGE sql
  RETURN CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE least(a COLLATE "C", b) END;
CREATE FUNCTION instr(a TEXT, b TEXT) RETURNS INTEGER IMMUTABLE LANGUAGE sql
  RETURN strpos(a, b);
CREATE FUNCTION instr(a BYTEA, b BYTEA) RETURNS INTEGER IMMUTABLE LANGUAGE sql
  RETURN position(b IN a);
"""
"""What SQLite brings along."""

_TYPES = (
    (r"\bid INTEGER(?= PRIMARY KEY, project)", "id BIGINT GENERATED ALWAYS AS IDENTITY"),
    (r"\bINTEGER\b", "BIGINT"),
    (r"\bBLOB\b", "BYTEA"),
    (r"\bTEXT\b", 'TEXT COLLATE "C"'),
    (r"\) STRICT(, WITHOUT ROWID)?", ")"),
)


def set_up(db: PostgresDatabase, schema: str) -> None:
    """Make the layout, unless it is there."""
    if db.execute("SELECT to_regnamespace(?::text)", (schema,)).fetchone()[0] is None:
        db.script(
            f"BEGIN; CREATE SCHEMA {schema}; {_FUNCTIONS} {_translated(ALL_TABLES)}"  # noqa: S608
            f"CREATE TABLE layout (number INTEGER NOT NULL);"
            f"INSERT INTO layout VALUES ({LAYOUT}); COMMIT;"
        )
        return
    if db.execute("SELECT to_regclass(?::text)", (f"{schema}.layout",)).fetchone()[0] is None:
        raise Unavailable(
            f"The database has a schema {schema!r} that is not Queuedeck's. Use another database."
        )
    layout: int = db.execute("SELECT number FROM layout").fetchone()[0]
    if layout > LAYOUT:
        raise Unavailable(
            f"The history has layout {layout}, written by a newer Queuedeck; this one reads up to "
            f"{LAYOUT}. Start the newer version, or use another database."
        )


def _translated(tables: str) -> str:
    for pattern, replacement in _TYPES:
        tables = re.sub(pattern, replacement, tables)
    return tables
