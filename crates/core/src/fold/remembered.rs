//! What somebody allowed for a worker's life.

use musher_protocol::{Approval, ApprovalKind, Digest, Remember};
use serde::{Deserialize, Serialize};

use super::Fold;
use crate::store::Blob;

/// More is not remembered: the oldest is forgotten, which asks again.
const MAX_REMEMBERED: usize = 256;

/// A permission that holds without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    tool: String,
    /// The digest of the only input that it holds for; any input when absent.
    input: Option<Digest>,
}

impl Fold {
    /// Whether what is asked was allowed before, for good. A question is always somebody's to answer.
    pub(crate) fn remembers(&self, asked: &Approval) -> bool {
        let is_permission = match asked.kind {
            ApprovalKind::Tool | ApprovalKind::Plan => true,
            ApprovalKind::Question | ApprovalKind::Unknown => false,
        };
        is_permission && {
            let input = digest(asked);
            self.remembered
                .iter()
                .any(|known| known.tool == asked.tool && known.input.is_none_or(|known| known == input))
        }
    }

    pub(super) fn remember(&mut self, asked: &Approval, what: Remember) {
        let input = match what {
            Remember::Input => Some(digest(asked)),
            Remember::Tool => None,
        };
        let remembered = Remembered { tool: asked.tool.clone(), input };
        if self.remembered.contains(&remembered) {
            return;
        }
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(remembered);
    }
}

/// The digest of the input's JSON text, whose keys are in order; a large input is in the log by that digest alone.
fn digest(asked: &Approval) -> Digest {
    asked.blob.map_or_else(|| Blob::of(asked.input.to_string().into()).digest, |blob| blob.digest)
}
