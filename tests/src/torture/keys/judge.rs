//! Whether each key had one effect, and each repetition the first answer.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::asked::{Asked, LABEL, Told, Want, decision};
use crate::torture::event::Event;

/// What the logs say that came of each key, and all that happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    /// The ids of events, workers and bundles that a key made.
    effects: BTreeMap<String, Vec<String>>,
    /// The ids of all events, by worker.
    events: BTreeMap<String, Vec<String>>,
    /// How each approval was decided, as often as it was.
    decisions: BTreeMap<String, Vec<String>>,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// What was answered for is not in the logs.
    Lost,
    /// It happened more than once, or was told to be the first more than once.
    Doubled,
    /// A repetition was answered otherwise.
    Changed,
    /// It was refused and happened.
    Done,
    /// It was answered as nobody should be, or not at all.
    Answered,
}

/// A key that something is wrong with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) key: String,
    pub(super) flaw: Flaw,
    what: String,
}

impl Logs {
    /// Takes a worker as the list shows it.
    pub(super) fn worker(&mut self, summary: &Value) {
        let worker = summary["worker_id"].as_str().unwrap_or_default();
        self.events.entry(worker.to_owned()).or_default();
        self.note(&summary["labels"][LABEL], worker);
    }

    /// Takes a config bundle as the list shows it.
    pub(super) fn bundle(&mut self, summary: &Value) {
        let digest = summary["digest"].as_str().unwrap_or_default();
        self.note(&summary["revision"], digest);
    }

    /// Takes the whole log of a worker.
    pub(super) fn log(&mut self, worker: &str, events: &[Event]) {
        for event in events {
            let envelope: Value = serde_json::from_str(&event.envelope).expect("an event was read from JSON");
            let payload = &envelope["payload"];
            match event.type_name.as_str() {
                "input_accepted" => self.note(&payload["input_id"], &event.event_id),
                "interrupt_requested" | "stop_requested" | "cancel_requested" | "limits_raised" => {
                    self.note(&payload["by"]["actor"], &event.event_id);
                }
                "approval_resolved" => {
                    self.note(&payload["by"]["actor"], &event.event_id);
                    let text = |place: &Value| place.as_str().unwrap_or_default().to_owned();
                    let decided = self.decisions.entry(text(&payload["approval_id"])).or_default();
                    decided.push(text(&payload["decision"]));
                }
                _ => {}
            }
            self.events.entry(worker.to_owned()).or_default().push(event.event_id.clone());
        }
    }

    fn note(&mut self, key: &Value, id: &str) {
        if let Some(key) = key.as_str() {
            self.effects.entry(key.to_owned()).or_default().push(id.to_owned());
        }
    }

    /// Compares what clients were answered with what happened.
    pub(super) fn judge(&self, all: &[Asked]) -> Vec<Finding> {
        let decided_twice = self.decisions.iter().filter(|(_, decided)| decided.len() > 1);
        let decided_twice = decided_twice.map(|(approval, decided)| Finding {
            key: approval.clone(),
            flaw: Flaw::Doubled,
            what: format!("it was resolved as {decided:?}"),
        });
        all.iter().flat_map(|asked| self.judge_one(asked)).chain(decided_twice).collect()
    }

    fn judge_one(&self, asked: &Asked) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |flaw, what: String| {
            findings.push(Finding {
                key: asked.key.clone(),
                flaw,
                what: format!("{:?}: {what}", asked.want),
            });
        };
        let effects = self.effects.get(&asked.key).map_or(&[][..], Vec::as_slice);
        if effects.len() > 1 {
            find(Flaw::Doubled, format!("it made {effects:?}"));
        }
        let mut answers = asked.answers.iter();
        let first = answers.by_ref().find(|told| told.status == 200);
        for told in asked.answers.iter().filter(|told| told.status != 200) {
            if !asked.want.refusals().contains(&told.status) {
                find(Flaw::Answered, format!("{told:?}"));
            }
        }
        if asked.is_undone && !effects.is_empty() {
            find(Flaw::Doubled, format!("it was deleted, and {effects:?} is there again"));
        }
        let Some(first) = first else {
            if asked.answers.is_empty() {
                find(Flaw::Answered, "nobody answered".to_owned());
            } else if !effects.is_empty() {
                find(Flaw::Done, format!("it made {effects:?}, and was refused"));
            }
            return findings;
        };
        for other in answers.filter(|told| (told.status, &told.body) != (200, &first.body)) {
            find(Flaw::Changed, format!("first {first:?}, then {other:?}"));
        }
        if asked.good().filter(|told| !told.is_repeated).count() > 1 {
            find(Flaw::Doubled, "several answers say that they are the first".to_owned());
        }
        if first.body["duplicate"] == true && !effects.is_empty() {
            find(Flaw::Doubled, format!("it made {effects:?}, and was told that another had: {first:?}"));
        }
        if !asked.is_undone
            && let Some(missing) = self.missing(&asked.want, first, effects)
        {
            find(Flaw::Lost, format!("{missing} of {first:?}"));
        }
        findings
    }

    /// What of a good answer is not in the logs.
    fn missing(&self, want: &Want, first: &Told, effects: &[String]) -> Option<String> {
        let id = |place: &Value| place.as_str().unwrap_or_default().to_owned();
        let (event, worker) = (id(&first.body["ack"]["event_id"]), id(&first.body["worker"]["worker_id"]));
        let is_there = match want {
            Want::Create { .. } => effects.contains(&worker),
            Want::Store { .. } => effects.contains(&id(&first.body["bundles"][0]["digest"])),
            Want::Decide { approval, allows, .. } => {
                let told = id(&first.body["approval"]["decision"]);
                let is_its_own = first.body["duplicate"] == false;
                // Another decision than the one that was asked for is refused.
                told == decision(*allows)
                    && self.decisions.get(approval).is_some_and(|decided| decided.contains(&told))
                    && (!is_its_own || !effects.is_empty())
            }
            Want::Input { .. } => effects.contains(&event),
            Want::Raise { .. } => !effects.is_empty(),
            // It may have joined another's, or found nothing to end; a stop is answered with the cancel that overtook it.
            Want::Interrupt { worker } | Want::Stop { worker } | Want::Cancel { worker } => {
                self.events.get(worker).is_some_and(|events| events.contains(&event))
            }
        };
        (!is_there)
            .then(|| [event, worker].into_iter().find(|id| !id.is_empty()).unwrap_or("what".to_owned()))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: key {}: {}", self.flaw, self.key, self.what)
    }
}
