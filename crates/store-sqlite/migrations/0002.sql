-- What a worker's backend keeps beside the log, by name. There is no view of it: it is the backend's own, in whatever
-- form it likes and may change, and nobody's business outside; people and their queries have the events.
CREATE TABLE stored_kept (
  kept   INTEGER PRIMARY KEY,
  worker INTEGER NOT NULL,
  -- Compared by its bytes, which is also the order that it is read in.
  name   TEXT NOT NULL,
  bytes  BLOB NOT NULL,
  seal   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX stored_kept_name ON stored_kept (worker, name);
