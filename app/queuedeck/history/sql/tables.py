# SPDX-License-Identifier: AGPL-3.0-only
"""The tables of all days, as SQLite writes them; Postgres translates them. Those of one day are in
`sqlite/dialect.py` and `postgres/dialect.py`. Times are microseconds, UTC.
"""

from queuedeck.history.sql import fulltext, grains, ledger

DAYS = """
CREATE TABLE day (
  day INTEGER PRIMARY KEY, layout INTEGER NOT NULL, searched INTEGER NOT NULL,
  dropping INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE usage (
  day INTEGER NOT NULL, project INTEGER NOT NULL, tasks INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY (day, project)) STRICT, WITHOUT ROWID;

-- Tasks of days that are no longer searched, for as long as facts about them are expected.
CREATE TABLE open_task (
  id INTEGER PRIMARY KEY, key INTEGER NOT NULL, until_day INTEGER) STRICT;
CREATE INDEX open_task_key ON open_task (key);
"""
_UNTIL = "CREATE INDEX open_task_until ON open_task (until_day) WHERE until_day IS NOT NULL;"

TABLES = """
CREATE TABLE word (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, kind INTEGER NOT NULL, value TEXT NOT NULL,
  UNIQUE (project, kind, value)) STRICT;

CREATE TABLE source (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, fingerprint TEXT NOT NULL,
  engine TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, text_ids INTEGER NOT NULL,
  UNIQUE (project, fingerprint)) STRICT;

CREATE TABLE lane (
  lane TEXT PRIMARY KEY, project INTEGER NOT NULL, committed INTEGER NOT NULL,
  agent TEXT NOT NULL, at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE retry (
  project INTEGER NOT NULL, source TEXT NOT NULL, new TEXT NOT NULL, old TEXT NOT NULL,
  at_us INTEGER NOT NULL, PRIMARY KEY (project, source, new)) STRICT, WITHOUT ROWID;
CREATE INDEX retry_old ON retry (project, source, old);

CREATE TABLE cancel_request (task INTEGER PRIMARY KEY, project INTEGER NOT NULL) STRICT;

CREATE TABLE loss (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, agent TEXT NOT NULL, lane TEXT NOT NULL,
  last INTEGER NOT NULL, count INTEGER NOT NULL, at_us INTEGER NOT NULL, kinds TEXT NOT NULL,
  reason TEXT NOT NULL) STRICT;

CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, agent TEXT NOT NULL, lane TEXT NOT NULL,
  number INTEGER NOT NULL, at_us INTEGER NOT NULL, size INTEGER NOT NULL, raw BLOB NOT NULL,
  error TEXT NOT NULL) STRICT;

CREATE TABLE state_count (
  project INTEGER NOT NULL, source INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (project, source, state)) STRICT, WITHOUT ROWID;

CREATE TABLE event_count (
  project INTEGER PRIMARY KEY, events INTEGER NOT NULL, lost INTEGER NOT NULL,
  quarantined INTEGER NOT NULL, newest_us INTEGER) STRICT;
"""

NEW_TABLES = DAYS + _UNTIL + ledger.TABLES + fulltext.TABLES
"""What layout 1 did not have."""
ALL_TABLES = NEW_TABLES + TABLES

STEPS = (grains.SUMMED_STEP, grains.SUMMED_KEY + _UNTIL)
"""What each layout after the first with day tables has and the one before it had not: statements
that bring its data along, in the transaction that changes the layout's number. Only ever appended.
"""
