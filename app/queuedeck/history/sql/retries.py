# SPDX-License-Identifier: AGPL-3.0-only
"""Which task is a retry of which, as far as operators asked for it: see the table `retry`."""

from collections.abc import Iterable

from queuedeck.history.sql.database import Database

Link = tuple[str, str]
"""(fingerprint of its source, id) of a task."""


def read_retry_of(db: Database, project_id: int, links: Iterable[Link]) -> dict[Link, str]:
    """The id of the task that each of these retries, of those that do."""
    wanted, dialect = set(links), db.dialect
    sources, ids = _apart(wanted)
    rows = db.execute(
        f"SELECT source, new, old FROM retry WHERE {dialect.OF_PROJECT} = ?"  # noqa: S608
        f" AND {dialect.OF_SOURCE} {dialect.AMONG_TEXTS} AND new {dialect.AMONG_TEXTS}",
        (project_id, dialect.listed(sources), dialect.listed(ids)),
    )
    return {(source, new): old for source, new, old in rows if (source, new) in wanted}


def read_retried_as(db: Database, project_id: int, links: Iterable[Link]) -> dict[Link, str]:
    """The id of the newest retry of each of these, of those that were retried."""
    wanted, dialect = set(links), db.dialect
    sources, ids = _apart(wanted)
    rows = db.execute(
        "SELECT source, old, new FROM retry INDEXED BY retry_old"  # noqa: S608
        f" WHERE {dialect.OF_PROJECT} = ? AND {dialect.OF_SOURCE} {dialect.AMONG_TEXTS}"
        f" AND old {dialect.AMONG_TEXTS} ORDER BY at_us, new",
        (project_id, dialect.listed(sources), dialect.listed(ids)),
    )
    return {(source, old): new for source, old, new in rows if (source, old) in wanted}


def _apart(links: set[Link]) -> tuple[list[str], list[str]]:
    return sorted({source for source, _ in links}), sorted({task_id for _, task_id in links})
