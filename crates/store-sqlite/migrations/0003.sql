-- What requests under idempotency keys came to, until their time is over. There is no view of it: the runtime's own.
CREATE TABLE stored_key (
  key_record INTEGER PRIMARY KEY,
  -- Whose key it is and what for.
  scope   TEXT NOT NULL,
  key     TEXT NOT NULL,
  digest  BLOB NOT NULL,
  outcome BLOB NOT NULL,
  at      INTEGER NOT NULL,
  seal    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX stored_key_place ON stored_key (scope, key);
-- They go by their age.
CREATE INDEX stored_key_at ON stored_key (at);
