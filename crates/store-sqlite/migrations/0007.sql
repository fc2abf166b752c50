-- What a log says of an approval, found by its id: to read the whole log for that takes time that grows with it. An index goes
-- with the events, whatever removes them. A payload that is no JSON, which only damage makes, must not end a write.
CREATE INDEX stored_event_approval
  ON stored_event (worker, CASE WHEN json_valid(payload) THEN payload ->> '$.approval_id' END)
  WHERE type IN ('approval_requested', 'approval_resolved');
