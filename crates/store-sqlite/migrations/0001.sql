-- Tables begin with `stored_` and are Musher's own. People read the views at the end; docs/operating.md has them.
-- Times are nanoseconds since 1970. A `seal` is a CRC-32 over the rest of its row, see src/seal.rs.

-- One row: the runtime, and counts that are kept in the commits that change them.
CREATE TABLE stored_runtime (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  runtime_id TEXT,
  owner      TEXT,
  active     INTEGER NOT NULL,
  stopped    INTEGER NOT NULL,
  cancelled  INTEGER NOT NULL
) STRICT;
INSERT INTO stored_runtime VALUES (1, NULL, NULL, 0, 0, 0);

-- A worker's row, and where its log begins. A deleted worker keeps its row for ever, without a status.
CREATE TABLE stored_worker (
  worker          INTEGER PRIMARY KEY,
  worker_id       TEXT NOT NULL UNIQUE,
  status          TEXT CHECK (status IN ('running', 'stopped', 'cancelled')),
  unsettled       INTEGER NOT NULL,
  facts           TEXT NOT NULL,
  head_seq        INTEGER NOT NULL,
  head_checksum   INTEGER NOT NULL,
  last_event_id   TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  seal            INTEGER NOT NULL,
  epoch           INTEGER NOT NULL,
  oldest_seq      INTEGER NOT NULL,
  oldest_checksum INTEGER NOT NULL,
  -- The newest commit at the time of the newest prune, for a log that has no events left.
  pruned_batch    BLOB,
  -- Over the epoch and what follows it.
  log_seal        INTEGER NOT NULL,
  -- Whether rows of what was pruned or deleted are left.
  sweep           INTEGER NOT NULL
) STRICT;
CREATE INDEX stored_worker_status ON stored_worker (status, worker_id) WHERE status IS NOT NULL;
CREATE INDEX stored_worker_unsettled ON stored_worker (worker_id) WHERE unsettled = 1;
CREATE INDEX stored_worker_sweep ON stored_worker (worker) WHERE sweep = 1;

-- What a worker was created as: apart from its row, which changes often.
CREATE TABLE stored_spec (
  worker INTEGER PRIMARY KEY,
  spec   TEXT NOT NULL,
  seal   INTEGER NOT NULL
) STRICT;

-- The log of all workers, in the order of writing: new rows go to the end of the table.
CREATE TABLE stored_event (
  event    INTEGER PRIMARY KEY,
  worker   INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  type     TEXT NOT NULL,
  at       INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  seal     INTEGER NOT NULL,
  -- Names the commit; only its last event has it.
  batch    BLOB,
  -- The turn or tool call that an event begins, ends or counts for; most events have none.
  subject  TEXT,
  event_id TEXT NOT NULL,
  payload  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX stored_event_place ON stored_event (worker, seq);
CREATE INDEX stored_event_subject ON stored_event (type, worker, subject) WHERE subject IS NOT NULL;

CREATE TABLE stored_entry (
  entry    INTEGER PRIMARY KEY,
  worker   INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  turn_id  TEXT,
  role     TEXT NOT NULL,
  body     TEXT NOT NULL,
  seal     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX stored_entry_place ON stored_entry (worker, sequence);
CREATE INDEX stored_entry_turn ON stored_entry (worker, turn_id, role, sequence) WHERE turn_id IS NOT NULL;

CREATE TABLE stored_input (
  worker              INTEGER NOT NULL,
  input_id            TEXT NOT NULL,
  digest              BLOB NOT NULL,
  event_id            TEXT NOT NULL,
  transcript_sequence INTEGER,
  cursor              TEXT NOT NULL,
  seal                INTEGER NOT NULL,
  PRIMARY KEY (worker, input_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE stored_blob (
  blob   INTEGER PRIMARY KEY,
  worker INTEGER NOT NULL,
  digest BLOB NOT NULL,
  bytes  BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX stored_blob_digest ON stored_blob (worker, digest);

CREATE TABLE stored_checkpoint (
  worker   INTEGER PRIMARY KEY,
  seq      INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  body     BLOB NOT NULL,
  seal     INTEGER NOT NULL
) STRICT;

CREATE VIEW workers AS
SELECT
  w.worker_id,
  w.status,
  w.facts ->> '$.execution.run_state' AS run_state,
  s.spec ->> '$.profile_name' AS profile,
  s.spec ->> '$.profile.backend' AS backend,
  s.spec ->> '$.display_name' AS display_name,
  s.spec -> '$.labels' AS labels,
  strftime('%Y-%m-%dT%H:%M:%S', w.created_at / 1000000000, 'unixepoch')
    || printf('.%06dZ', w.created_at / 1000 % 1000000) AS created_at,
  strftime('%Y-%m-%dT%H:%M:%S', w.updated_at / 1000000000, 'unixepoch')
    || printf('.%06dZ', w.updated_at / 1000 % 1000000) AS updated_at,
  coalesce((SELECT max(e.seq) FROM stored_event e WHERE e.worker = w.worker), w.oldest_seq) AS events,
  w.facts ->> '$.transcript_len' AS transcript_len,
  w.facts ->> '$.queued_inputs' AS queued_inputs,
  w.facts ->> '$.usage.input_tokens' AS input_tokens,
  w.facts ->> '$.usage.output_tokens' AS output_tokens,
  w.facts ->> '$.usage.total_cost_usd' AS total_cost_usd,
  w.facts ->> '$.outcome.outcome' AS last_outcome,
  w.facts ->> '$.outcome.finished_at' AS last_finished_at,
  w.facts ->> '$.outcome.text' AS last_text
FROM stored_worker w
JOIN stored_spec s ON s.worker = w.worker
WHERE w.status IS NOT NULL;

CREATE VIEW events AS
SELECT
  w.worker_id,
  e.seq,
  e.event_id,
  strftime('%Y-%m-%dT%H:%M:%S', e.at / 1000000000, 'unixepoch')
    || printf('.%06dZ', e.at / 1000 % 1000000) AS at,
  e.type,
  e.payload
FROM stored_worker w
JOIN stored_event e ON e.worker = w.worker AND e.seq > w.oldest_seq
WHERE w.status IS NOT NULL;

CREATE VIEW turns AS
SELECT
  w.worker_id,
  b.subject AS turn_id,
  strftime('%Y-%m-%dT%H:%M:%S', b.at / 1000000000, 'unixepoch')
    || printf('.%06dZ', b.at / 1000 % 1000000) AS started_at,
  strftime('%Y-%m-%dT%H:%M:%S', f.at / 1000000000, 'unixepoch')
    || printf('.%06dZ', f.at / 1000 % 1000000) AS finished_at,
  (f.at - b.at) / 1e9 AS seconds,
  b.payload ->> '$.cause' AS cause,
  f.payload ->> '$.outcome' AS outcome,
  f.payload ->> '$.error.code' AS error,
  f.payload ->> '$.usage.total_cost_usd' AS cost_usd,
  f.payload ->> '$.usage.input_tokens' AS input_tokens,
  f.payload ->> '$.usage.output_tokens' AS output_tokens,
  (SELECT t.body ->> '$.content' FROM stored_entry t
   WHERE t.worker = b.worker AND t.turn_id = b.subject AND t.role = 'assistant'
   ORDER BY t.sequence DESC LIMIT 1) AS text
FROM stored_event b
JOIN stored_worker w ON w.worker = b.worker AND w.status IS NOT NULL AND b.seq > w.oldest_seq
LEFT JOIN stored_event f ON f.type = 'turn_finished' AND f.worker = b.worker AND f.subject = b.subject
WHERE b.type = 'turn_started' AND b.subject IS NOT NULL;

CREATE VIEW tool_calls AS
SELECT
  w.worker_id,
  (SELECT s.payload ->> '$.turn_id' FROM stored_event s
   WHERE s.type = 'tool_call_started' AND s.worker = c.worker AND s.subject = c.subject LIMIT 1) AS turn_id,
  c.subject AS tool_call_id,
  c.payload ->> '$.name' AS name,
  c.payload -> '$.input' AS input,
  strftime('%Y-%m-%dT%H:%M:%S', c.at / 1000000000, 'unixepoch')
    || printf('.%06dZ', c.at / 1000 % 1000000) AS called_at,
  strftime('%Y-%m-%dT%H:%M:%S', r.at / 1000000000, 'unixepoch')
    || printf('.%06dZ', r.at / 1000 % 1000000) AS ended_at,
  (r.at - c.at) / 1e9 AS seconds,
  r.payload ->> '$.is_error' AS is_error,
  r.payload ->> '$.content' AS result
FROM stored_event c
JOIN stored_worker w ON w.worker = c.worker AND w.status IS NOT NULL AND c.seq > w.oldest_seq
LEFT JOIN stored_event r ON r.type = 'tool_result' AND r.worker = c.worker AND r.subject = c.subject
WHERE c.type = 'tool_call_done' AND c.subject IS NOT NULL;

CREATE VIEW usage AS
SELECT
  w.worker_id,
  u.subject AS turn_id,
  strftime('%Y-%m-%dT%H:%M:%S', u.at / 1000000000, 'unixepoch')
    || printf('.%06dZ', u.at / 1000 % 1000000) AS at,
  u.payload ->> '$.input_tokens' AS input_tokens,
  u.payload ->> '$.output_tokens' AS output_tokens,
  u.payload ->> '$.cache_read_input_tokens' AS cache_read_input_tokens,
  u.payload ->> '$.total_cost_usd' AS cost_usd
FROM stored_event u
JOIN stored_worker w ON w.worker = u.worker AND w.status IS NOT NULL AND u.seq > w.oldest_seq
WHERE u.type = 'usage' AND u.subject IS NOT NULL;

CREATE VIEW transcript AS
SELECT
  w.worker_id,
  t.sequence,
  t.role,
  t.body ->> '$.content' AS content,
  t.body ->> '$.at' AS at,
  t.turn_id,
  t.body ->> '$.tool_call_id' AS tool_call_id,
  t.body ->> '$.name' AS name,
  t.body -> '$.input' AS input,
  t.body ->> '$.result' AS result,
  t.body ->> '$.is_error' AS is_error,
  coalesce(t.body ->> '$.partial', 0) AS partial
FROM stored_worker w
JOIN stored_entry t ON t.worker = w.worker
WHERE w.status IS NOT NULL;
