//! What a client says on a socket for many workers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::WorkerId;

/// A message of the client: it names a worker or a topic, not both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StreamRequest {
    /// Begin to send this. A worker that is subscribed to already begins anew, with its snapshot.
    Subscribe {
        /// The worker whose log is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker_id: Option<WorkerId>,
        /// The topic that is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<Topic>,
        /// The cursor to go on from in the worker's log; a snapshot of the whole state when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// Send no more of this. Nothing of it comes behind the answer, which is `unsubscribed`.
    Unsubscribe {
        /// The worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker_id: Option<WorkerId>,
        /// The topic.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<Topic>,
    },
}

/// What is about all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Workers as they change. No log: who is behind gets only the newest of each worker.
    Catalog,
    /// What waits for a person: the whole list, now and whenever it changes.
    Attention,
    /// A topic that this version does not know.
    #[serde(other)]
    Unknown,
}
