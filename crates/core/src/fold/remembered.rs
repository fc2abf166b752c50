//! What somebody allowed for a worker's life.

use musher_backend::MARK;
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
        let holds = |what| permission(asked, what).is_some_and(|known| self.remembered.contains(&known));
        is_permission && (holds(Remember::Tool) || holds(Remember::Input))
    }

    pub(super) fn remember(&mut self, asked: &Approval, what: Remember) {
        let Some(remembered) = permission(asked, what) else { return };
        if self.remembered.contains(&remembered) {
            return;
        }
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(remembered);
    }
}

/// Whether what is asked can be told from everything else by what is shown of it. Where a secret is hidden in it that is not
/// so, and a digest of the secret would give it away.
pub(crate) fn can_remember(asked: &Approval, what: Remember) -> bool {
    match what {
        Remember::Input => !asked.redacted,
        Remember::Tool => !(asked.redacted && asked.tool.contains(MARK)),
    }
}

fn permission(asked: &Approval, what: Remember) -> Option<Remembered> {
    can_remember(asked, what).then(|| Remembered {
        tool: asked.tool.clone(),
        input: match what {
            Remember::Input => Some(digest(asked)),
            Remember::Tool => None,
        },
    })
}

/// The digest of the input's JSON text, whose keys are in order; a large input is in the log by that digest alone.
fn digest(asked: &Approval) -> Digest {
    asked.blob.map_or_else(|| Blob::of(asked.input.to_string().into()).digest, |blob| blob.digest)
}
