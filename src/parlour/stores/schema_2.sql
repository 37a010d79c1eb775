-- What schema version 2 adds to version 1: threads with branches, search, links.
--
-- A session that is in no row of `branch` began a thread of its own, which has its id. The first
-- `upto` records of a branch are a copy of those of `origin`.

CREATE TABLE branch (
  session INTEGER PRIMARY KEY,
  thread TEXT NOT NULL,
  origin TEXT NOT NULL,
  upto INTEGER NOT NULL
);
CREATE INDEX branch_of_thread ON branch (thread);

-- What can be found of a session's records 1 ... upto. Each character of `text` is one of `folded`.
CREATE TABLE passage (
  session INTEGER PRIMARY KEY,
  upto INTEGER NOT NULL,
  title TEXT NOT NULL,
  folded TEXT NOT NULL,
  text TEXT NOT NULL
);

-- Who knows the token may read the records 1 ... upto of the session; `at` is in seconds.
CREATE TABLE share (
  token TEXT PRIMARY KEY,
  session INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX share_of_session ON share (session);
