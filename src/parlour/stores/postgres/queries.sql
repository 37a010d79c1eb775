-- What the store asks of PostgreSQL; `queries.py` cuts this at the names.
-- $1 is the session's id unless something else stands beside it.

-- name: find
SELECT id, user_id, created, updated, head, title, closed, due
FROM parlour.session WHERE id = $1

-- name: create
-- $2 user, $3 at, $4 hour, $5 worker
INSERT INTO parlour.session (id, user_id, epoch, hour, created, updated, worker, thread)
VALUES ($1, $2, nextval('parlour.epoch'), $4, $3, $3, $5, $1)
ON CONFLICT (id) DO NOTHING
RETURNING epoch

-- name: claim
-- $2 worker, $3 whatever its owner does
WITH mine AS (
  UPDATE parlour.session s
  SET epoch = greatest(s.epoch + 1, nextval('parlour.epoch')), worker = $2
  WHERE s.id = $1 AND ($3 OR s.worker IS NULL OR s.worker = $2 OR NOT EXISTS (
    SELECT 1 FROM parlour.worker w
    WHERE w.id = s.worker AND w.beat + make_interval(secs => w.lease) > clock_timestamp()
  ))
  RETURNING s.*
)
SELECT m.epoch, m.head, m.user_id, m.created, m.closed, m.due, n.seq, n.data,
  EXISTS (SELECT 1 FROM parlour.inbox i WHERE i.session = m.key AND i.refusal IS NULL) AS posted,
  m.worker
FROM mine m LEFT JOIN parlour.snapshot n ON n.session = m.key
UNION ALL
SELECT NULL, s.head, s.user_id, s.created, s.closed, s.due, NULL, NULL, false, s.worker
FROM parlour.session s WHERE s.id = $1 AND NOT EXISTS (SELECT 1 FROM mine)

-- name: release
-- $1 sessions, $2 their epochs
WITH gone AS MATERIALIZED (
  SELECT s.key FROM parlour.session s
  JOIN unnest($1::text[], $2::bigint[]) AS g(id, epoch) ON s.id = g.id AND s.epoch = g.epoch
  ORDER BY s.key FOR NO KEY UPDATE OF s
)
UPDATE parlour.session s
SET epoch = greatest(s.epoch + 1, nextval('parlour.epoch')), worker = NULL
FROM gone WHERE s.key = gone.key

-- name: append
-- $1 … $9 of each session: id, epoch, after, last, at, hour, due, title, closed
-- $10 … $14 of each entry: the place of its session in those, first, count, command, data
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::float8[], $6::bigint[],
    $7::float8[], $8::text[], $9::boolean[]
  ) WITH ORDINALITY AS a(id, epoch, after, last, at, hour, due, title, closed, n)
), locked AS MATERIALIZED (
  SELECT s.key, a.n FROM parlour.session s JOIN asked a ON s.id = a.id
  WHERE s.epoch = a.epoch AND s.head = a.after
  ORDER BY s.key FOR NO KEY UPDATE OF s
), entry AS MATERIALIZED (
  SELECT l.key, e.* FROM unnest(
    $10::bigint[], $11::bigint[], $12::integer[], $13::bigint[], $14::bytea[]
  ) AS e(n, first, count, command, data) JOIN locked l ON l.n = e.n
), known AS MATERIALIZED (
  SELECT e.n, e.first AS place, e.command, c.first
  FROM entry e JOIN parlour.chunk c ON c.session = e.key AND c.command = e.command
), moved AS (
  UPDATE parlour.session s SET
    head = a.last,
    updated = CASE WHEN a.last > a.after THEN a.at ELSE s.updated END,
    hour = CASE WHEN a.last > a.after THEN a.hour ELSE s.hour END,
    due = a.due,
    title = coalesce(a.title, s.title),
    closed = s.closed OR a.closed
  FROM locked l JOIN asked a ON a.n = l.n
  WHERE s.key = l.key AND NOT EXISTS (SELECT 1 FROM known k WHERE k.n = l.n)
  RETURNING s.key, a.n, a.at, s.user_id
), written AS (
  INSERT INTO parlour.chunk (session, first, count, at, command, data)
  SELECT m.key, e.first, e.count, m.at, e.command, e.data
  FROM entry e JOIN moved m ON m.n = e.n WHERE e.count > 0
), taken AS (
  DELETE FROM parlour.inbox i USING entry e JOIN moved m ON m.n = e.n
  WHERE i.session = m.key AND i.digest = e.command
)
SELECT l.n, m.key, m.user_id, k.command, k.first
FROM locked l
LEFT JOIN moved m ON m.n = l.n
LEFT JOIN LATERAL (
  SELECT k.command, k.first FROM known k WHERE k.n = l.n ORDER BY k.place LIMIT 1
) k ON true

-- name: settle
-- After a connection was lost in the middle of an append: $1 id, $2 epoch, $3 after, $4 last of each.
-- What was not written never will be: its epoch is used up.
WITH held AS MATERIALIZED (
  SELECT s.key, s.head, a.* FROM parlour.session s
  JOIN unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY
    AS a(id, epoch, after, last, n) ON s.id = a.id
  WHERE s.epoch = a.epoch
  ORDER BY s.key FOR NO KEY UPDATE OF s
), fenced AS (
  UPDATE parlour.session s SET epoch = greatest(s.epoch + 1, nextval('parlour.epoch'))
  FROM held h WHERE s.key = h.key AND h.head = h.after
)
SELECT n, head FROM held

-- name: snapshots
-- $1 keys, $2 seqs, $3 data
INSERT INTO parlour.snapshot (session, seq, data)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) ORDER BY 1
ON CONFLICT (session) DO UPDATE SET seq = excluded.seq, data = excluded.data

-- name: values
-- $1 users, $2 names, $3 values, $4 kinds; the last one of a name counts
INSERT INTO parlour.user_value (user_id, name, value, kind)
SELECT user_id, name, value, kind FROM (
  SELECT DISTINCT ON (v.user_id, v.name) v.* FROM unnest(
    $1::text[], $2::text[], $3::bytea[], $4::text[]
  ) WITH ORDINALITY AS v(user_id, name, value, kind, n)
  ORDER BY v.user_id, v.name, v.n DESC
) latest
ORDER BY user_id, name
ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value, kind = excluded.kind

-- name: delete_values
-- $1 users
DELETE FROM parlour.user_value WHERE user_id = ANY ($1::text[]) AND value = 'null'::bytea

-- name: read
-- $2 after, $3 limit, $4 how many bytes
WITH s AS MATERIALIZED (SELECT key FROM parlour.session WHERE id = $1)
SELECT first, count, at, data FROM (
  SELECT c.*, sum(octet_length(c.data)) OVER (
    ORDER BY c.first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ) AS weight
  FROM s JOIN parlour.chunk c ON c.session = s.key
  WHERE c.first <= $2::bigint + $3::bigint AND c.first >= coalesce((
    SELECT max(b.first) FROM parlour.chunk b WHERE b.session = s.key AND b.first <= $2::bigint + 1
  ), 0) AND c.first + c.count - 1 > $2::bigint
) page
WHERE weight IS NULL OR weight < $4::bigint
ORDER BY first

-- name: post
-- $1 sessions, $2 digests, $3 commands, $4 data
SELECT place, fresh, seq, owner FROM parlour.post($1, $2, $3, $4)

-- name: inbox
SELECT i.command, i.data FROM parlour.inbox i JOIN parlour.session s ON s.key = i.session
WHERE s.id = $1 AND i.refusal IS NULL AND NOT EXISTS (
  SELECT 1 FROM parlour.chunk c WHERE c.session = s.key AND c.command = i.digest
)
ORDER BY i.position

-- name: outcome
-- $2 digest
SELECT c.first FROM parlour.chunk c JOIN parlour.session s ON s.key = c.session
WHERE s.id = $1 AND c.command = $2

-- name: sessions_of_user
-- $1 user, $2 hour, $3 updated, $4 id, $5 limit
SELECT id, user_id, created, updated, head, title, closed, due FROM parlour.session
WHERE user_id = $1 AND hour <= $2 AND (updated < $3 OR (updated = $3 AND id < $4 COLLATE "C"))
ORDER BY hour DESC, updated DESC, id COLLATE "C" DESC LIMIT $5

-- name: sessions
-- $1 hour, $2 updated, $3 id, $4 limit
SELECT id, user_id, created, updated, head, title, closed, due FROM parlour.session
WHERE hour <= $1 AND (updated < $2 OR (updated = $2 AND id < $3 COLLATE "C"))
ORDER BY hour DESC, updated DESC, id COLLATE "C" DESC LIMIT $4

-- name: threads
-- $1 user, $2 hour, $3 updated, $4 id, $5 limit, $6 words, $7 and $8 where an excerpt begins and ends
WITH found AS MATERIALIZED (
  SELECT DISTINCT ON (s.thread) s.thread, CASE strpos(p.folded, ($6::text[])[1]) WHEN 0 THEN '' ELSE
    substr(p.text, greatest(strpos(p.folded, ($6::text[])[1]) - $7::integer, 1), $8::integer) END AS excerpt
  FROM parlour.session s JOIN parlour.passage p ON p.session = s.key
  WHERE cardinality($6::text[]) > 0 AND s.user_id = $1 AND NOT EXISTS (
    SELECT 1 FROM unnest($6::text[]) AS w(word)
    WHERE strpos(p.folded, word) = 0 AND strpos(p.title, word) = 0
  )
  ORDER BY s.thread, s.updated DESC, s.id COLLATE "C" DESC
)
SELECT s.id, s.user_id, s.created, s.updated, s.head, s.title, s.closed, s.due, s.thread,
  coalesce(f.excerpt, '')
FROM parlour.session s LEFT JOIN found f ON f.thread = s.thread
WHERE s.user_id = $1 AND s.title <> '' AND s.hour <= $2
AND (s.updated < $3 OR (s.updated = $3 AND s.id < $4 COLLATE "C"))
AND (cardinality($6::text[]) = 0 OR f.thread IS NOT NULL)
AND NOT EXISTS (
  SELECT 1 FROM parlour.session o WHERE o.thread = s.thread
  AND (o.updated > s.updated OR (o.updated = s.updated AND o.id > s.id COLLATE "C"))
)
ORDER BY s.hour DESC, s.updated DESC, s.id COLLATE "C" DESC LIMIT $5

-- name: branches
SELECT b.id, b.user_id, b.created, b.updated, b.head, b.title, b.closed, b.due, b.origin, b.upto
FROM parlour.session s JOIN parlour.session b ON b.thread = s.thread WHERE s.id = $1
ORDER BY b.created, b.id COLLATE "C"

-- name: unindexed
-- $1 user, $2 limit
SELECT s.id, coalesce(p.upto, 0), s.head, s.title
FROM parlour.session s LEFT JOIN parlour.passage p ON p.session = s.key
WHERE s.user_id = $1 AND s.head > coalesce(p.upto, 0)
ORDER BY s.hour DESC, s.updated DESC, s.id COLLATE "C" DESC LIMIT $2

-- name: index
-- $2 after, $3 upto, $4 title, $5 folded, $6 text, $7 how many characters are kept
WITH s AS MATERIALIZED (SELECT key FROM parlour.session WHERE id = $1 FOR KEY SHARE)
INSERT INTO parlour.passage AS p (session, upto, title, folded, text)
SELECT s.key, $3, $4, left($5, $7), left($6, $7) FROM s
WHERE $2::bigint = 0 OR EXISTS (SELECT 1 FROM parlour.passage k WHERE k.session = s.key)
ON CONFLICT (session) DO UPDATE SET
  upto = excluded.upto, title = excluded.title,
  folded = left(p.folded || $5, $7), text = left(p.text || $6, $7)
  WHERE p.upto = $2

-- name: share
-- $2 token, $3 upto, $4 at
WITH s AS MATERIALIZED (SELECT key FROM parlour.session WHERE id = $1 FOR KEY SHARE)
INSERT INTO parlour.share (token, session, upto, at) SELECT $2, s.key, $3, $4 FROM s
ON CONFLICT (token) DO NOTHING RETURNING 1

-- name: unshare
-- $1 token
DELETE FROM parlour.share WHERE token = $1 RETURNING 1

-- name: shared
-- $1 token
SELECT h.token, s.id, h.upto, h.at FROM parlour.share h
JOIN parlour.session s ON s.key = h.session WHERE h.token = $1

-- name: shares
-- $1 user, $2 limit
SELECT h.token, s.id, h.upto, h.at FROM parlour.share h
JOIN parlour.session s ON s.key = h.session WHERE s.user_id = $1
ORDER BY h.at DESC, h.token COLLATE "C" DESC LIMIT $2

-- name: count
-- $1 user
SELECT count(*) FROM parlour.session WHERE user_id = $1 AND NOT closed

-- name: due
-- $1 before, $2 limit
SELECT id, due FROM parlour.session WHERE due < $1 AND NOT closed ORDER BY due LIMIT $2

-- name: idle
-- $1 hour, $2 before, $3 limit
SELECT id FROM parlour.session WHERE NOT closed AND hour <= $1 AND updated < $2
ORDER BY hour, updated LIMIT $3

-- name: ended
-- $1 hour, $2 before, $3 limit
SELECT id FROM parlour.session WHERE closed AND hour <= $1 AND updated < $2
ORDER BY hour, updated LIMIT $3

-- name: user_value
-- $1 user, $2 name
SELECT name, value, kind FROM parlour.user_value WHERE user_id = $1 AND name = $2

-- name: user_values
-- $1 user
SELECT name, value, kind FROM parlour.user_value WHERE user_id = $1 ORDER BY name COLLATE "C"

-- name: source_of_fork
SELECT key, user_id, title, thread FROM parlour.session WHERE id = $1 AND head >= $2 FOR SHARE

-- name: copy_session
-- $2 user, $3 at, $4 hour, $5 head, $6 title, $7 worker; $8 thread, $9 origin, $10 upto
INSERT INTO parlour.session (
  id, user_id, epoch, hour, created, updated, head, title, worker, thread, origin, upto
)
VALUES ($1, $2, nextval('parlour.epoch'), $4, $3, $3, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO NOTHING
RETURNING key, epoch

-- name: copy_chunks
-- $1 from, $2 to, $3 upto
INSERT INTO parlour.chunk (session, first, count, at, command, data)
SELECT $2, first, count, at, command, data FROM parlour.chunk
WHERE session = $1 AND first <= $3

-- name: last_chunk
-- $1 key
SELECT first, count, data FROM parlour.chunk WHERE session = $1 ORDER BY first DESC LIMIT 1

-- name: cut_chunk
-- $1 key, $2 first, $3 count, $4 data
UPDATE parlour.chunk SET count = $3, data = $4 WHERE session = $1 AND first = $2

-- name: lock_to_erase
SELECT key FROM parlour.session WHERE id = $1 FOR UPDATE

-- name: erase
-- $1 key
WITH chunks AS (DELETE FROM parlour.chunk WHERE session = $1),
snapshots AS (DELETE FROM parlour.snapshot WHERE session = $1),
commands AS (DELETE FROM parlour.inbox WHERE session = $1),
passages AS (DELETE FROM parlour.passage WHERE session = $1),
links AS (DELETE FROM parlour.share WHERE session = $1)
DELETE FROM parlour.session WHERE key = $1

-- name: erase_user
-- $1 user
WITH gone AS (DELETE FROM parlour.user_value WHERE user_id = $1 RETURNING 1)
SELECT count(*) FROM gone

-- name: drop_snapshots
WITH gone AS (
  DELETE FROM parlour.snapshot n USING parlour.session s
  WHERE s.key = n.session AND s.closed RETURNING 1
)
SELECT count(*) FROM gone

-- name: size
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'parlour' AND c.relkind = 'r'

-- name: secret
-- $1 a new one, for the first who asks
WITH made AS (
  INSERT INTO parlour.meta (name, value) VALUES ('secret', $1)
  ON CONFLICT (name) DO NOTHING RETURNING value
)
SELECT value FROM made UNION ALL SELECT value FROM parlour.meta WHERE name = 'secret' LIMIT 1

-- name: beat
-- $1 worker, $2 lease, $3 what there is to say of it
-- Gives the server's time, and for how long nothing was heard before.
WITH before AS (SELECT beat FROM parlour.worker WHERE id = $1),
beating AS (
  INSERT INTO parlour.worker (id, beat, lease, started, about)
  VALUES ($1, clock_timestamp(), $2, clock_timestamp(), $3::text::jsonb)
  ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, lease = excluded.lease, about = excluded.about
  RETURNING beat
)
SELECT extract(epoch FROM n.beat)::float8, extract(epoch FROM n.beat - b.beat)::float8
FROM beating n LEFT JOIN before b ON true

-- name: leave
-- $1 worker
DELETE FROM parlour.worker WHERE id = $1

-- name: workers
SELECT w.id, extract(epoch FROM clock_timestamp() - w.beat)::float8 AS silent, w.lease,
  extract(epoch FROM w.started)::float8 AS started, w.about::text,
  (SELECT count(*) FROM parlour.session s WHERE s.worker = w.id) AS sessions
FROM parlour.worker w ORDER BY w.started, w.id

-- name: living
SELECT id FROM parlour.worker WHERE beat + make_interval(secs => lease) > clock_timestamp()

-- name: bury
-- Workers nobody has heard of for an hour; their sessions are free since long.
DELETE FROM parlour.worker WHERE beat < clock_timestamp() - interval '1 hour'

-- name: adopt
-- $1 worker, $2 limit
WITH living AS MATERIALIZED (
  SELECT id FROM parlour.worker WHERE beat + make_interval(secs => lease) > clock_timestamp()
), wanted AS MATERIALIZED (
  (SELECT s.key FROM parlour.session s
   WHERE s.due <= extract(epoch FROM statement_timestamp())::float8 AND NOT s.closed
   AND (s.worker IS NULL OR NOT EXISTS (SELECT 1 FROM living l WHERE l.id = s.worker))
   ORDER BY s.due LIMIT $2)
  UNION
  (SELECT i.session FROM parlour.inbox i JOIN parlour.session s ON s.key = i.session
   WHERE i.refusal IS NULL
   AND (s.worker IS NULL OR NOT EXISTS (SELECT 1 FROM living l WHERE l.id = s.worker))
   ORDER BY i.session LIMIT $2)
), free AS MATERIALIZED (
  SELECT s.key FROM parlour.session s JOIN wanted w ON w.key = s.key
  WHERE s.worker IS NULL OR NOT EXISTS (SELECT 1 FROM living l WHERE l.id = s.worker)
  ORDER BY s.key LIMIT $2 FOR NO KEY UPDATE OF s SKIP LOCKED
), mine AS (
  UPDATE parlour.session s
  SET epoch = greatest(s.epoch + 1, nextval('parlour.epoch')), worker = $1
  FROM free WHERE s.key = free.key
  RETURNING s.*
)
SELECT m.epoch, m.head, m.user_id, m.created, m.closed, m.due, n.seq, n.data,
  EXISTS (SELECT 1 FROM parlour.inbox i WHERE i.session = m.key AND i.refusal IS NULL) AS posted,
  m.id
FROM mine m LEFT JOIN parlour.snapshot n ON n.session = m.key

-- name: due_free
-- $1 before, $2 limit, $3 worker
SELECT s.id, s.due FROM parlour.session s
WHERE s.due < $1 AND NOT s.closed AND (s.worker IS NULL OR s.worker = $3 OR NOT EXISTS (
  SELECT 1 FROM parlour.worker w
  WHERE w.id = s.worker AND w.beat + make_interval(secs => w.lease) > clock_timestamp()
))
ORDER BY s.due LIMIT $2

-- name: places
-- $1 sessions: how far each one's log goes, and which living worker owns it
SELECT s.id, s.head, w.id AS worker FROM parlour.session s
LEFT JOIN parlour.worker w
  ON w.id = s.worker AND w.beat + make_interval(secs => w.lease) > clock_timestamp()
WHERE s.id = ANY ($1::text[])

-- name: owned
-- $1 worker
SELECT id, epoch FROM parlour.session WHERE worker = $1

-- name: posted
-- $1 worker: those of its sessions in which commands wait
SELECT DISTINCT s.id FROM parlour.inbox i JOIN parlour.session s ON s.key = i.session
WHERE i.refusal IS NULL AND s.worker = $1

-- name: refuse
-- $2 digest, $3 refusal
UPDATE parlour.inbox i SET refusal = $3, at = clock_timestamp()
FROM parlour.session s WHERE s.id = $1 AND i.session = s.key AND i.digest = $2

-- name: verdicts
-- $1 sessions, $2 digests: what became of posted commands
SELECT q.n, c.first, i.refusal, i.session IS NOT NULL AND i.refusal IS NULL AS waits
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS q(id, digest, n)
JOIN parlour.session s ON s.id = q.id
LEFT JOIN parlour.chunk c ON c.session = s.key AND c.command = q.digest
LEFT JOIN parlour.inbox i ON i.session = s.key AND i.digest = q.digest

-- name: forget_refusals
DELETE FROM parlour.inbox WHERE refusal IS NOT NULL AND at < clock_timestamp() - interval '1 minute'
