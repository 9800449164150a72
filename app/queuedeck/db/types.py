# SPDX-License-Identifier: AGPL-3.0-only
"""Column types by meaning. Times are integers, microseconds since the epoch in UTC, as on the wire:
the databases agree on integers and on nothing else about time.
"""

from typing import Annotated

from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, String, TypeDecorator
from sqlalchemy.orm import mapped_column

_ROW_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys itself.

RowId = Annotated[int, mapped_column(_ROW_ID, primary_key=True, autoincrement=True)]
Micros = Annotated[int, mapped_column(BigInteger)]
"""A moment."""
Secret = Annotated[bytes, mapped_column(LargeBinary(32), unique=True)]
"""SHA-256 of a secret that was shown once; the secret itself is never stored."""


class PlainText(TypeDecorator[str]):
    """Any text that a browser or an agent may send: Postgres has no place for the character NUL."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\0", "\ufffd")
