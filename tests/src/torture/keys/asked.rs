//! Requests under keys, and what came back.

use serde_json::{Value, json};

use crate::Answer;

/// The label of a worker that says which key it was created under.
pub(super) const LABEL: &str = "key";

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Create {
        objective: Option<String>,
    },
    Input {
        worker: String,
        content: String,
    },
    Interrupt {
        worker: String,
    },
    Stop {
        worker: String,
    },
    Cancel {
        worker: String,
    },
    Raise {
        worker: String,
        turns: u64,
    },
    /// A revision of its own of this bundle.
    Store {
        id: String,
    },
    Decide {
        worker: String,
        approval: String,
        allows: bool,
    },
}

/// A request under a key of its own, and every answer that its client saw.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) key: String,
    pub(super) want: Want,
    /// In the order that they came.
    pub(super) answers: Vec<Told>,
    /// How often the connection broke before an answer was whole.
    pub(super) n_broken: u64,
    /// Whether what it made was deleted afterwards.
    pub(super) is_undone: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) body: Value,
    /// Whether it says that it was given before.
    pub(super) is_repeated: bool,
}

impl Want {
    /// The path and the body of the request. Its key is also where its effect shows it: in a label, an input's id, a revision
    /// or who asked.
    pub(super) fn request(&self, key: &str) -> (String, Value) {
        let of = |worker: &str, what: &str| format!("/v1/workers/{worker}/{what}");
        match self {
            Self::Create { objective } => {
                let intent = match objective {
                    Some(objective) => json!({"kind": "task", "objective": objective}),
                    None => json!({"kind": "assistant"}),
                };
                ("/v1/workers".to_owned(), json!({"intent": intent, "labels": {LABEL: key}}))
            }
            Self::Input { worker, content } => {
                (of(worker, "input"), json!({"kind": "user", "content": content}))
            }
            Self::Interrupt { worker } => (of(worker, "interrupt"), json!({"actor": key})),
            Self::Stop { worker } => (of(worker, "stop"), json!({"actor": key, "grace_secs": 1})),
            Self::Cancel { worker } => (of(worker, "cancel"), json!({"actor": key})),
            Self::Raise { worker, turns } => {
                (of(worker, "limits"), json!({"limits": {"turns": turns}, "actor": key}))
            }
            Self::Store { id } => {
                let metadata = json!({
                    "id": id, "revision": key, "workspace_id": "torture",
                    "created_at": "2026-11-20T10:00:00Z", "provenance": {"source": "torture"},
                });
                let bundle = json!({
                    "metadata": metadata, "profiles": [{"selector": "quick"}], "declarations": [],
                });
                ("/v1/config-bundles".to_owned(), json!({ "bundle": bundle }))
            }
            Self::Decide { worker, approval, allows } => {
                let decided = json!({"decision": decision(*allows), "actor": key});
                (of(worker, &format!("approvals/{approval}")), decided)
            }
        }
    }

    /// With which statuses it may be refused by what others have done to the worker.
    pub(super) fn refusals(&self) -> &'static [u16] {
        match self {
            Self::Create { .. } | Self::Stop { .. } | Self::Cancel { .. } | Self::Store { .. } => &[],
            // It was decided otherwise or withdrawn, or its turn is being ended.
            Self::Decide { .. } => &[409],
            Self::Input { .. } => &[400, 409, 429],
            // The worker has ended, or another client's raise went further.
            Self::Interrupt { .. } | Self::Raise { .. } => &[400],
        }
    }
}

/// The wire's word for a decision.
pub(super) fn decision(allows: bool) -> &'static str {
    if allows { "allow" } else { "deny" }
}

impl Asked {
    pub(super) fn new(key: String, want: Want) -> Self {
        Self { key, want, answers: Vec::new(), n_broken: 0, is_undone: false }
    }

    /// The answers that say that it was done.
    pub(super) fn good(&self) -> impl Iterator<Item = &Told> {
        self.answers.iter().filter(|told| told.status == 200)
    }

    /// The worker that it made.
    pub(super) fn created(&self) -> Option<&str> {
        match self.want {
            Want::Create { .. } => self.good().next()?.body["worker"]["worker_id"].as_str(),
            Want::Input { .. }
            | Want::Interrupt { .. }
            | Want::Stop { .. }
            | Want::Cancel { .. }
            | Want::Raise { .. }
            | Want::Store { .. }
            | Want::Decide { .. } => None,
        }
    }

    /// Where the bundle is that it stored.
    pub(super) fn stored(&self) -> Option<String> {
        match self.want {
            Want::Store { .. } => {
                let summary = &self.good().next()?.body["bundles"][0];
                let (id, digest) = (summary["id"].as_str()?, summary["digest"].as_str()?);
                Some(format!("/v1/config-bundles/{id}?digest={digest}"))
            }
            Want::Create { .. }
            | Want::Input { .. }
            | Want::Interrupt { .. }
            | Want::Stop { .. }
            | Want::Cancel { .. }
            | Want::Raise { .. }
            | Want::Decide { .. } => None,
        }
    }
}

impl Told {
    /// Of an answer and whether its header says that it was given before; an input's ack says so itself.
    pub(super) fn of(want: &Want, answer: Answer, is_replayed: bool) -> Self {
        let Answer { status, mut body } = answer;
        let is_repeated = match want {
            Want::Input { .. } => body["ack"]
                .as_object_mut()
                .and_then(|ack| ack.remove("duplicate"))
                .is_some_and(|duplicate| duplicate == true),
            Want::Create { .. }
            | Want::Interrupt { .. }
            | Want::Stop { .. }
            | Want::Cancel { .. }
            | Want::Raise { .. }
            | Want::Store { .. }
            | Want::Decide { .. } => is_replayed,
        };
        Self { status, body, is_repeated }
    }
}
