-- The tables of all days before rollups of long times were made of those of short ones.

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

CREATE TABLE roll_minute (
  project INTEGER NOT NULL, subject INTEGER NOT NULL, at INTEGER NOT NULL,
  outcome INTEGER NOT NULL, source INTEGER NOT NULL, queue INTEGER NOT NULL,
  release INTEGER NOT NULL, n INTEGER NOT NULL, run_us INTEGER NOT NULL, wait BLOB NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (project, subject, at, outcome, source, queue, release)) STRICT, WITHOUT ROWID;
CREATE INDEX roll_minute_at ON roll_minute (project, at);

CREATE TABLE roll_hour (
  project INTEGER NOT NULL, subject INTEGER NOT NULL, at INTEGER NOT NULL,
  outcome INTEGER NOT NULL, source INTEGER NOT NULL, queue INTEGER NOT NULL,
  release INTEGER NOT NULL, n INTEGER NOT NULL, run_us INTEGER NOT NULL, wait BLOB NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (project, subject, at, outcome, source, queue, release)) STRICT, WITHOUT ROWID;
CREATE INDEX roll_hour_at ON roll_hour (project, at);

CREATE TABLE roll_day (
  project INTEGER NOT NULL, subject INTEGER NOT NULL, at INTEGER NOT NULL,
  outcome INTEGER NOT NULL, source INTEGER NOT NULL, queue INTEGER NOT NULL,
  release INTEGER NOT NULL, n INTEGER NOT NULL, run_us INTEGER NOT NULL, wait BLOB NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (project, subject, at, outcome, source, queue, release)) STRICT, WITHOUT ROWID;
CREATE INDEX roll_day_at ON roll_day (project, at);

CREATE TABLE failure_group (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, fingerprint INTEGER NOT NULL,
  exception TEXT NOT NULL, message TEXT NOT NULL, culprit TEXT NOT NULL,
  first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, n INTEGER NOT NULL,
  tasks INTEGER NOT NULL, recovered INTEGER NOT NULL,
  UNIQUE (project, fingerprint)) STRICT;

-- Names of tasks, queues and releases it happened in.
CREATE TABLE failure_share (
  failure INTEGER NOT NULL, word INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (failure, word)) STRICT, WITHOUT ROWID;

CREATE TABLE failure_hour (
  failure INTEGER NOT NULL, hour INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (failure, hour)) STRICT, WITHOUT ROWID;

CREATE TABLE failure_attempt (
  task INTEGER NOT NULL, attempt INTEGER NOT NULL, failure INTEGER NOT NULL,
  PRIMARY KEY (task, attempt)) STRICT, WITHOUT ROWID;
CREATE INDEX failure_attempt_failure ON failure_attempt (failure, task);

CREATE TABLE word_index (day INTEGER PRIMARY KEY, upto INTEGER NOT NULL) STRICT;

CREATE TABLE word_wait (
  day INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (day, n)) STRICT, WITHOUT ROWID;

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
