-- A Parlour store, schema version 1 (PRAGMA user_version), application id "Parl".
-- What later versions add stands in files of their own.
--
-- `chunk` is written in the order of arrival and nothing else is written when a conversation goes
-- on: each commit fills the last pages of one table, however many sessions it serves. What finds
-- the chunks of a session, its commands and its place in listings is brought up to date for many
-- chunks at a time by the trigger `settle`; the ids of the chunks since then are known by heart
-- while the store is open, and a store that was not closed settles when it is opened.
--
-- To read a conversation:
--   SELECT first, data FROM log WHERE session = '…' ORDER BY first;

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

-- settled: all chunks up to this id are settled. generation: how often the store was opened; it is
-- the upper half of every epoch, so that epochs grow across restarts without a write at each claim.
-- unscrubbed: something was erased, and what SQLite has left of it is not overwritten yet.
INSERT INTO meta VALUES ('settled', 0), ('generation', 0);

-- head and updated are those of the last settled chunk; updated is in milliseconds.
CREATE TABLE session (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  user TEXT NOT NULL,
  created REAL NOT NULL,
  updated INTEGER NOT NULL,
  head INTEGER NOT NULL DEFAULT 0,
  closed INTEGER NOT NULL DEFAULT 0,
  due REAL,
  title TEXT NOT NULL DEFAULT ''
);
CREATE INDEX session_of_user ON session (user, closed, updated);
CREATE INDEX session_by_age ON session (closed, updated);
CREATE INDEX session_due ON session (due) WHERE due IS NOT NULL AND closed = 0;

-- Records first … first + count - 1 of a session as a JSON array, written at `at` (milliseconds).
-- command is 64 bits of the BLAKE2 hash of the client's id; the id itself is in the records.
CREATE TABLE chunk (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  at INTEGER NOT NULL,
  command INTEGER,
  data BLOB NOT NULL
);

CREATE TABLE place (
  session INTEGER NOT NULL,
  first INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  PRIMARY KEY (session, first)
) WITHOUT ROWID;

CREATE TABLE command (
  session INTEGER NOT NULL,
  command INTEGER NOT NULL,
  first INTEGER NOT NULL,
  PRIMARY KEY (session, command)
) WITHOUT ROWID;

CREATE TABLE snapshot (
  session INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  data BLOB NOT NULL
);

CREATE TABLE inbox (
  session INTEGER NOT NULL,
  position INTEGER NOT NULL,
  command TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (session, position)
) WITHOUT ROWID;

CREATE TABLE user_value (
  user TEXT NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  kind TEXT NOT NULL,
  PRIMARY KEY (user, name)
) WITHOUT ROWID;

-- One statement, because a busy process pays for every one (it must take the interpreter's lock
-- again after each).
CREATE TRIGGER settle AFTER UPDATE ON meta WHEN new.name = 'settled' BEGIN
  INSERT INTO place
    SELECT session, first, id FROM chunk
    WHERE id > old.value AND id <= new.value
    ORDER BY session, first;
  INSERT INTO command
    SELECT session, command, first FROM chunk
    WHERE id > old.value AND id <= new.value AND command IS NOT NULL
    ORDER BY session, command;
  UPDATE session SET head = latest.head, updated = latest.at
    FROM (
      SELECT session, max(id), first + count - 1 AS head, at FROM chunk
      WHERE id > old.value AND id <= new.value
      GROUP BY session
    ) AS latest
    WHERE session.key = latest.session;
END;

CREATE VIEW log AS
  SELECT
    session.id AS session, chunk.first, chunk.count,
    datetime(chunk.at / 1000, 'unixepoch') AS at, CAST(chunk.data AS TEXT) AS data
  FROM chunk JOIN session ON session.key = chunk.session;
