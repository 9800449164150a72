# SPDX-License-Identifier: AGPL-3.0-only
"""Values of a key that a project has, as the filter box offers them while they are typed: those of
the newest matches, with how many, then others from the dictionary. Both within fixed bounds.
"""

from queuedeck.history.facts import Word
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.rows import Words, read_sources
from queuedeck.history.sql.survey import FACET_KEYS, Surveyor

MOST_MATCHES = 1_000
"""So many of the newest matches are counted."""
MOST_WORDS = 2_000
"""So many words of the dictionary are looked into for a piece that does not begin them."""

DICTIONARIES = {
    "task": Word.NAME,
    "queue": Word.QUEUE,
    "worker": Word.WORKER,
    "error": Word.EXCEPTION,
    "release": Word.RELEASE,
}
"""Key of the filter -> where its values are kept."""


def read_values(
    db: Database,
    words: Words,
    now_us: int,
    project_id: int,
    key: str,
    piece: str,
    question: TaskFilter,
    limit: int,
) -> dict[str, int]:
    """Up to `limit` values of the key that hold the piece, whatever its case; each with how many of
    the newest matches of the rest of the question have it, or 0. The most come first.
    """
    with reading(db):
        found: dict[str, int] = {}
        if key in FACET_KEYS:
            surveyor = Surveyor(db, words, project_id, now_us, MOST_MATCHES)
            counted = surveyor.named(key, question)
            wanted = piece.lower()
            most = [(v, n) for v, n in counted.most_common() if wanted in v.lower()]
            found = dict(most[:limit])
        if len(found) < limit:
            others = _others(db, project_id, key, piece, limit)
            found |= {value: 0 for value in others if value not in found}
        return dict(list(found.items())[:limit])


def _others(db: Database, project_id: int, key: str, piece: str, limit: int) -> list[str]:
    if key == "source":
        named = {source.name for source in read_sources(db, project_id).values() if source.name}
        return sorted(name for name in named if piece.lower() in name.lower())[:limit]
    kind = DICTIONARIES.get(key)
    if kind is None:
        return []
    # The index of words is in this order: the first statement is a range of it.
    begins = db.execute(
        "SELECT value FROM word WHERE project = ? AND kind = ? AND value >= ? AND value < ?"
        " ORDER BY value LIMIT ?",
        (project_id, int(kind), piece, f"{piece}\U0010ffff", limit),
    )
    inside = db.execute(
        "SELECT value FROM (SELECT value FROM word WHERE project = ? AND kind = ?"
        " ORDER BY value LIMIT ?) AS w WHERE instr(lower(value), lower(?)) > 0 LIMIT ?",
        (project_id, int(kind), MOST_WORDS, piece, limit),
    )
    return list(dict.fromkeys(row[0] for rows in (begins, inside) for row in rows))
