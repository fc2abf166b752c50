//! What clients were told, and whether logs keep it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// Something that a client was told and may rely on for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::torture) enum Promise {
    /// A worker was created.
    Worker { worker: String },
    /// An event was seen: it is at this place of the log for ever, as it is.
    Event { worker: String, seq: u64, event: String, payload: String },
    /// An input was accepted by this event.
    Input { worker: String, input: String, event: String },
    /// An event was named, by an ack or in a reply: it is in the log.
    Named { worker: String, event: String },
}

/// The logs of some workers as a server answered with them; `None` for a worker that it does not know.
pub(in crate::torture) type Logs = BTreeMap<String, Option<Vec<Value>>>;

impl Promise {
    /// The worker that it is about.
    pub(in crate::torture) fn worker(&self) -> &str {
        match self {
            Self::Worker { worker }
            | Self::Event { worker, .. }
            | Self::Input { worker, .. }
            | Self::Named { worker, .. } => worker,
        }
    }

    /// What a good reply promises.
    pub(in crate::torture) fn of_reply(reply: &Value) -> Vec<Self> {
        let mut promises = Vec::new();
        if let Some(worker) = text(&reply["worker"]["worker_id"]) {
            promises.push(Self::Worker { worker: worker.clone() });
            promises
                .extend(text(&reply["worker"]["last_event_id"]).map(|event| Self::Named { worker, event }));
        }
        let ack = &reply["ack"];
        if let (Some(worker), Some(event)) = (text(&ack["worker_ref"]["worker_id"]), text(&ack["event_id"])) {
            promises.push(match text(&ack["input_id"]) {
                Some(input) => Self::Input { worker, input, event },
                None => Self::Named { worker, event },
            });
        }
        promises.extend(list(&reply["events"]).filter_map(Self::of_event));
        promises
    }

    /// What a frame of an observation socket promises.
    pub(in crate::torture) fn of_frame(frame: &Value) -> Vec<Self> {
        let envelope = &frame["envelope"];
        if envelope["payload"]["type"] != "snapshot" {
            return Self::of_event(envelope).into_iter().collect();
        }
        let worker = text(&envelope["worker_id"]);
        let named = list(&envelope["payload"]["entries"]).filter_map(|entry| text(&entry["event_id"]));
        named.filter_map(|event| Some(Self::Named { worker: worker.clone()?, event })).collect()
    }

    fn of_event(envelope: &Value) -> Option<Self> {
        Some(Self::Event {
            worker: text(&envelope["worker_id"])?,
            seq: envelope["seq"].as_u64()?,
            event: text(&envelope["event_id"])?,
            payload: envelope["payload"].to_string(),
        })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Everything that is wrong with logs: promises that they do not keep, and what no log may be.
pub(in crate::torture) fn broken<'a>(
    promises: impl IntoIterator<Item = &'a Promise>,
    logs: &Logs,
) -> Vec<String> {
    let mut broken = Vec::new();
    for (worker, log) in logs {
        if let Some(log) = log {
            broken.extend(malformed(log).into_iter().map(|why| format!("{worker}: {why}")));
        }
    }
    let indexes: HashMap<&str, Index<'_>> =
        logs.iter().filter_map(|(worker, log)| Some((worker.as_str(), Index::new(log.as_ref()?)))).collect();
    let mut missing = BTreeSet::new();
    for promise in promises {
        match indexes.get(promise.worker()) {
            Some(index) => broken.extend(index.breaks(promise)),
            None if missing.insert(promise.worker()) => {
                broken.push(format!("{}: lost, with all that was promised of it", promise.worker()));
            }
            None => {}
        }
    }
    broken
}

/// A log by what promises name.
struct Index<'a> {
    events: HashMap<&'a str, &'a Value>,
    places: HashMap<u64, &'a Value>,
}

impl<'a> Index<'a> {
    fn new(log: &'a [Value]) -> Self {
        Self {
            events: log.iter().filter_map(|event| Some((event["event_id"].as_str()?, event))).collect(),
            places: log.iter().filter_map(|event| Some((event["seq"].as_u64()?, event))).collect(),
        }
    }

    fn breaks(&self, promise: &Promise) -> Option<String> {
        match promise {
            Promise::Worker { .. } => None,
            Promise::Event { worker, seq, event, payload } => match self.places.get(seq) {
                None => Some(format!("{worker}: event {seq} ({event}) was seen and is lost")),
                Some(there) if there["event_id"] != event.as_str() => {
                    Some(format!("{worker}: event {seq} was {event} and is {}", there["event_id"]))
                }
                Some(there) => {
                    let now = there["payload"].to_string();
                    (now != *payload).then(|| format!("{worker}: event {seq} was {payload} and is {now}"))
                }
            },
            Promise::Input { worker, input, event } => match self.events.get(event.as_str()) {
                None => Some(format!("{worker}: input {input} was accepted and is lost ({event})")),
                Some(there)
                    if there["payload"]["type"] == "input_accepted"
                        && there["payload"]["input_id"] == input.as_str() =>
                {
                    None
                }
                Some(there) => Some(format!("{worker}: input {input} was accepted by {there}")),
            },
            Promise::Named { worker, event } => {
                let lost = !self.events.contains_key(event.as_str());
                lost.then(|| format!("{worker}: event {event} was named and is lost"))
            }
        }
    }
}

/// What no log may be, whatever was promised.
fn malformed(log: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (expected, event) in (1_u64..).zip(log) {
        if event["seq"] != expected {
            wrong.push(format!("event {} stands where event {expected} should", event["seq"]));
            break;
        }
    }
    let mut seen = BTreeSet::new();
    let ids = log.iter().filter_map(|event| event["event_id"].as_str());
    wrong.extend(ids.filter(|id| !seen.insert(*id)).map(|id| format!("event {id} is there twice")));
    for (kind, done) in [("input_accepted", "accepted"), ("user_message", "run"), ("input_taken", "taken")] {
        let mut seen = BTreeSet::new();
        let payloads = log.iter().map(|event| &event["payload"]).filter(|payload| payload["type"] == kind);
        let inputs = payloads.filter_map(|payload| payload["input_id"].as_str());
        let twice = inputs.filter(|input| !seen.insert(*input));
        wrong.extend(twice.map(|input| format!("input {input} is {done} twice")));
    }
    wrong
}

#[cfg(test)]
mod tests;
