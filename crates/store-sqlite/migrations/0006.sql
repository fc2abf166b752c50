-- How many bytes a key takes, as far as its request decides that.
ALTER TABLE stored_key ADD COLUMN bytes INTEGER
  AS (length(CAST(owner || scope || key AS BLOB)) + length(outcome)) VIRTUAL;

-- The bytes of an owner's are counted with them: one that asks about large workers fills a store with few keys.
ALTER TABLE stored_key_count ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE stored_key_count
  SET bytes = (SELECT coalesce(sum(bytes), 0) FROM stored_key WHERE stored_key.owner = stored_key_count.owner);

DROP TRIGGER stored_key_comes;
DROP TRIGGER stored_key_moves;
DROP TRIGGER stored_key_goes;
CREATE TRIGGER stored_key_comes AFTER INSERT ON stored_key BEGIN
  INSERT INTO stored_key_count (owner, keys, bytes) VALUES (new.owner, 1, new.bytes)
  ON CONFLICT (owner) DO UPDATE SET keys = keys + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER stored_key_changes AFTER UPDATE ON stored_key
WHEN old.owner <> new.owner OR old.bytes <> new.bytes BEGIN
  INSERT INTO stored_key_count (owner, keys, bytes) VALUES (new.owner, 1, new.bytes)
  ON CONFLICT (owner) DO UPDATE SET keys = keys + 1, bytes = bytes + excluded.bytes;
  UPDATE stored_key_count SET keys = keys - 1, bytes = bytes - old.bytes WHERE owner = old.owner;
  DELETE FROM stored_key_count WHERE owner = old.owner AND keys <= 0;
END;
CREATE TRIGGER stored_key_goes AFTER DELETE ON stored_key BEGIN
  UPDATE stored_key_count SET keys = keys - 1, bytes = bytes - old.bytes WHERE owner = old.owner;
  DELETE FROM stored_key_count WHERE owner = old.owner AND keys <= 0;
END;
