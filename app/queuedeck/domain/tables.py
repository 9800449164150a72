# SPDX-License-Identifier: AGPL-3.0-only
"""Files that people open elsewhere: CSV and JSON, written in pieces."""

import csv
import io
from collections.abc import Iterable, Sequence

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take what begins so for a formula."""


def csv_rows(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows of a CSV file, none of which a spreadsheet runs."""
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value
