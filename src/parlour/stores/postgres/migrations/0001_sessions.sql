-- Logs of sessions, the commands that wait for their owners, and the workers that own them.
--
-- oldest: 1
--
-- Texts are kept with \ doubled and with \u0000 for what PostgreSQL's text cannot hold. Times are in
-- Unix seconds; those that decide who owns a session are timestamps of this server.
--
-- To read a conversation:
--   SELECT first, at, records FROM parlour.log WHERE session = '…' ORDER BY first;

CREATE TABLE parlour.meta (
  name text PRIMARY KEY,
  value bytea NOT NULL
);

-- Every claim takes the next one, so that an epoch is never given twice, not even for an erased id.
CREATE SEQUENCE parlour.epoch;

-- A worker lives as long as its heart beats: its sessions are free `lease` seconds after its last
-- beat, and at once when its row is gone.
CREATE TABLE parlour.worker (
  id text PRIMARY KEY,
  beat timestamptz NOT NULL,
  lease double precision NOT NULL,
  started timestamptz NOT NULL,
  about jsonb NOT NULL
) WITH (fillfactor = 50);

-- hour is `updated` in hours: listings look it up, and most appends leave it as it is, so that they
-- need not touch any index. The first `upto` records of a branch are a copy of those of `origin`;
-- thread is the id of the session that its thread began with.
CREATE TABLE parlour.session (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  user_id text NOT NULL,
  epoch bigint NOT NULL,
  head bigint NOT NULL DEFAULT 0,
  hour bigint NOT NULL,
  created double precision NOT NULL,
  updated double precision NOT NULL,
  due double precision,
  closed boolean NOT NULL DEFAULT false,
  worker text,
  title text NOT NULL DEFAULT '',
  thread text NOT NULL,
  origin text NOT NULL DEFAULT '',
  upto bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX session_of_user ON parlour.session (user_id, hour);
CREATE INDEX session_by_age ON parlour.session (hour);
CREATE INDEX session_open_by_age ON parlour.session (hour) WHERE NOT closed;
CREATE INDEX session_closed_by_age ON parlour.session (hour) WHERE closed;
CREATE INDEX session_due ON parlour.session (due) WHERE due IS NOT NULL AND NOT closed;
CREATE INDEX session_of_thread ON parlour.session (thread);
CREATE INDEX session_of_worker ON parlour.session (worker) WHERE worker IS NOT NULL;

-- Records first … first + count - 1 of a session as a JSON array. command is 64 bits of the BLAKE2
-- hash of the client's id; the id itself is in the records.
CREATE TABLE parlour.chunk (
  session bigint NOT NULL,
  first bigint NOT NULL,
  count integer NOT NULL,
  at double precision NOT NULL,
  command bigint,
  data bytea NOT NULL,
  PRIMARY KEY (session, first)
);
CREATE UNIQUE INDEX chunk_of_command ON parlour.chunk (session, command)
  WHERE command IS NOT NULL;

CREATE TABLE parlour.snapshot (
  session bigint PRIMARY KEY,
  seq bigint NOT NULL,
  data bytea NOT NULL
);

-- A command that its owner refused stays here for a while, with the refusal, for whoever posted it.
CREATE TABLE parlour.inbox (
  position bigint GENERATED ALWAYS AS IDENTITY,
  session bigint NOT NULL,
  digest bigint NOT NULL,
  command text NOT NULL,
  data bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  refusal bytea,
  PRIMARY KEY (session, digest)
);

CREATE TABLE parlour.user_value (
  user_id text NOT NULL,
  name text NOT NULL,
  value bytea NOT NULL,
  kind text NOT NULL,
  PRIMARY KEY (user_id, name)
);

-- What can be found of a session's records 1 … upto. Each character of `text` is one of `folded`.
CREATE TABLE parlour.passage (
  session bigint PRIMARY KEY,
  upto bigint NOT NULL,
  title text NOT NULL,
  folded text NOT NULL,
  text text NOT NULL
);

-- Who knows the token may read the records 1 … upto of the session.
CREATE TABLE parlour.share (
  token text PRIMARY KEY,
  session bigint NOT NULL,
  upto bigint NOT NULL,
  at double precision NOT NULL
);
CREATE INDEX share_of_session ON parlour.share (session);

-- Commands of many sessions at once. The lock is taken by a statement of its own, in the order of
-- the keys: the next one then sees what an owner has recorded a moment before, and nobody deadlocks.
CREATE FUNCTION parlour.post(ids text[], digests bigint[], commands text[], contents bytea[])
RETURNS TABLE (place bigint, fresh boolean, seq bigint, owner text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM parlour.session s WHERE s.id = ANY (ids) ORDER BY s.key FOR NO KEY UPDATE OF s;
  RETURN QUERY
  WITH given AS MATERIALIZED (
    SELECT s.key, s.worker, g.n, g.digest, g.command, g.content, c.first
    FROM unnest(ids, digests, commands, contents) WITH ORDINALITY
      AS g(id, digest, command, content, n)
    JOIN parlour.session s ON s.id = g.id
    LEFT JOIN parlour.chunk c ON c.session = s.key AND c.command = g.digest
  ), kept AS (
    INSERT INTO parlour.inbox AS i (session, digest, command, data)
    SELECT f.key, f.digest, f.command, f.content
    FROM (
      SELECT DISTINCT ON (g.key, g.digest) g.* FROM given g WHERE g.first IS NULL
      ORDER BY g.key, g.digest, g.n
    ) f
    ORDER BY f.n
    ON CONFLICT (session, digest) DO UPDATE SET
      position = DEFAULT, data = excluded.data, at = clock_timestamp(), refusal = NULL
      WHERE i.refusal IS NOT NULL
    RETURNING i.session, i.digest
  )
  SELECT g.n, g.first IS NULL AND k.session IS NOT NULL, g.first, w.id
  FROM given g
  LEFT JOIN kept k ON k.session = g.key AND k.digest = g.digest
  LEFT JOIN parlour.worker w
    ON w.id = g.worker AND w.beat + make_interval(secs => w.lease) > clock_timestamp()
  ORDER BY g.n;
END $$;

CREATE VIEW parlour.log AS
  SELECT
    s.id AS session, c.first, c.count, to_timestamp(c.at) AS at,
    convert_from(c.data, 'UTF8') AS records
  FROM parlour.chunk c JOIN parlour.session s ON s.key = c.session;
