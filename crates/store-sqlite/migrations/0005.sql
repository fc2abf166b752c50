-- Whose a key is. Those of before are nobody's, and gone within a day.
ALTER TABLE stored_key ADD COLUMN owner TEXT NOT NULL DEFAULT '';
-- The oldest of an owner's.
CREATE INDEX stored_key_owner ON stored_key (owner, at);

-- How many each owner has: counting them for every request would take time that grows with their number.
CREATE TABLE stored_key_count (
  owner TEXT PRIMARY KEY,
  keys  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO stored_key_count (owner, keys) SELECT owner, count(*) FROM stored_key GROUP BY owner;

CREATE TRIGGER stored_key_comes AFTER INSERT ON stored_key BEGIN
  INSERT INTO stored_key_count (owner, keys) VALUES (new.owner, 1) ON CONFLICT (owner) DO UPDATE SET keys = keys + 1;
END;
CREATE TRIGGER stored_key_moves AFTER UPDATE OF owner ON stored_key WHEN old.owner <> new.owner BEGIN
  INSERT INTO stored_key_count (owner, keys) VALUES (new.owner, 1) ON CONFLICT (owner) DO UPDATE SET keys = keys + 1;
  UPDATE stored_key_count SET keys = keys - 1 WHERE owner = old.owner;
  DELETE FROM stored_key_count WHERE owner = old.owner AND keys <= 0;
END;
CREATE TRIGGER stored_key_goes AFTER DELETE ON stored_key BEGIN
  UPDATE stored_key_count SET keys = keys - 1 WHERE owner = old.owner;
  DELETE FROM stored_key_count WHERE owner = old.owner AND keys <= 0;
END;
