-- Revisions of config bundles, each once and for good. They belong to no worker: one keeps its profile in its spec.
CREATE TABLE stored_bundle (
  bundle    INTEGER PRIMARY KEY,
  -- Compared by their bytes, which is also the order that they are listed in.
  bundle_id TEXT NOT NULL,
  revision  TEXT NOT NULL,
  -- The SHA-256 of `canonical`, which is its seal.
  digest    BLOB NOT NULL,
  canonical TEXT NOT NULL,
  -- What lists show; the seal is over all but `canonical`.
  summary   TEXT NOT NULL,
  seal      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX stored_bundle_place ON stored_bundle (bundle_id, revision);
