# SPDX-License-Identifier: AGPL-3.0-only
"""The writer's dictionary: words and sources, kept in memory.

All of it can be dropped at any time, and is after a rollback: the tables hold the same.
"""

import msgspec

from queuedeck.history.facts import Word
from queuedeck.history.sql.database import Database
from queuedeck.history.tasks import TaskState
from queuedeck_agent import wire

STATE_NUMBERS = {state: number for number, state in enumerate(TaskState)}
"""TaskState -> number on disk: the order of the enum, open states first."""
STATES = tuple(TaskState)
FIRST_FINAL = STATE_NUMBERS[TaskState.SUCCEEDED]
"""States before this one are open."""

UNKNOWN_ENGINE = "unknown"
"""Stands for the engine of a source that no agent has named yet."""

_MOST_WORDS = 200_000


class Source(msgspec.Struct):
    """One engine on one broker and namespace, as a row."""

    id: int
    engine: str
    fingerprint: str
    name: str
    version: str
    text_ids: bool
    """Whether any of its task ids is not a UUID: then a search by id must also read text."""


class Memory:
    """What the writer remembers between groups."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.pack_id = db.dialect.pack_id
        self._words: dict[tuple[int, int, str], int] = {}
        self._sources: dict[tuple[int, str], Source] = {}

    def forget(self) -> None:
        self._words.clear()
        self._sources.clear()

    def word(self, project: int, kind: Word, value: str) -> int:
        """The reference of a word, made when new; 0 for the empty one."""
        if not value:
            return 0
        key = (project, kind, value)
        known = self._words.get(key)
        if known is None:
            if len(self._words) >= _MOST_WORDS:
                self._words.clear()
            known = self._words[key] = self._find_or_add_word(key)
        return known

    def source(self, project: int, fingerprint: str) -> Source:
        """The source, made without a name when its `SourceSeen` has not come yet."""
        key = (project, fingerprint)
        known = self._sources.get(key)
        if known is None:
            known = self._sources[key] = self._find_or_add_source(project, fingerprint)
        return known

    def name_source(self, project: int, event: wire.SourceSeen) -> None:
        """Take over what an agent says about a source."""
        source = self.source(project, event.source)
        named = (event.engine, event.name, event.version or source.version)
        if named == (source.engine, source.name, source.version):
            return
        source.engine, source.name, source.version = named
        self._db.execute(
            "UPDATE source SET engine = ?, name = ?, version = ? WHERE id = ?",
            (*named, source.id),
        )

    def mark_text_ids(self, source: Source) -> None:
        source.text_ids = True
        self._db.execute("UPDATE source SET text_ids = 1 WHERE id = ?", (source.id,))

    def _find_or_add_word(self, key: tuple[int, int, str]) -> int:
        found = self._db.execute(
            "SELECT id FROM word WHERE project = ? AND kind = ? AND value = ?", key
        ).fetchone()
        if found is not None:
            return found[0]
        return self._db.execute(
            "INSERT INTO word (project, kind, value) VALUES (?, ?, ?) RETURNING id", key
        ).fetchone()[0]

    def _find_or_add_source(self, project: int, fingerprint: str) -> Source:
        found = self._db.execute(
            "SELECT id, engine, fingerprint, name, version, text_ids FROM source"
            " WHERE project = ? AND fingerprint = ?",
            (project, fingerprint),
        ).fetchone()
        if found is not None:
            *named, text_ids = found
            return Source(*named, text_ids=bool(text_ids))
        number: int = self._db.execute(
            "INSERT INTO source (project, fingerprint, engine, name, version, text_ids)"
            " VALUES (?, ?, ?, '', '', 0) RETURNING id",
            (project, fingerprint, UNKNOWN_ENGINE),
        ).fetchone()[0]
        return Source(number, UNKNOWN_ENGINE, fingerprint, "", "", False)
