# SPDX-License-Identifier: AGPL-3.0-only
"""What is wrong with a filter, and where."""

import msgspec

from queuedeck.domain.tasks.reader import FilterInvalid


class QueryError(msgspec.Struct, frozen=True):
    problem: str
    expected: str
    before: str
    marked: str
    after: str


def query_error(invalid: FilterInvalid, text: str) -> QueryError:
    """Shows the place of the mistake; where something is missing, a gap."""
    start, end = invalid.offset, invalid.offset + invalid.length
    return QueryError(
        invalid.problem, invalid.expected, text[:start], text[start:end] or " ", text[end:]
    )
