//! What work cost, as the log says.

use musher_protocol::{Payload, Usage};

use super::Fold;

impl Fold {
    pub(super) fn add_usage(&mut self, payload: &Payload) {
        let Some(increment) = payload.increment() else { return };
        let known = self.known_tokens();
        self.known_tokens = Some(known.saturating_add(tokens(&increment)));
        self.usage.add(&increment);
        if let Some(turn) = &mut self.turn {
            turn.usage.add(&increment);
            turn.uses = false;
        }
        if let Some(session) = &mut self.session {
            session.usage.add(&increment);
        }
        if let Some(outcome) = &mut self.outcome {
            outcome.usage = self.usage.clone();
        }
    }

    /// The tokens that a limit counts: those that are known, also where their sum is not.
    pub(crate) fn known_tokens(&self) -> u64 {
        self.known_tokens.unwrap_or_else(|| tokens(&self.usage))
    }

    /// What to record of use that nobody will say any more, now that what was at work has ended: the model had not
    /// finished an answer, or a cost was to follow. None where the sums say all that happened, or that it is unknown.
    pub(crate) fn unsaid_usage(&self) -> Option<Usage> {
        let answering = self.turn.as_ref().is_some_and(|turn| turn.uses);
        let turn = self.turn.as_ref().map(|turn| &turn.usage);
        let session = self.session.as_ref().map(|session| &session.usage);
        let sums = || turn.into_iter().chain(session).chain([&self.usage]);
        let unsaid = if answering {
            Usage::default()
        } else if sums().any(|sum| sum.cost_follows) {
            Usage { reasoning_tokens: None, total_cost_usd: None, ..Usage::zero() }
        } else {
            return None;
        };
        let is_news = |sum: &Usage| {
            let mut after = sum.clone();
            after.add(&unsaid);
            after != *sum
        };
        sums().any(is_news).then_some(unsaid)
    }
}

/// Tokens in and out, as far as they are known.
fn tokens(usage: &Usage) -> u64 {
    usage.input_tokens.unwrap_or(0).saturating_add(usage.output_tokens.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use musher_protocol::{RuntimeId, WorkerId, WorkerRef};

    use super::*;

    #[test]
    fn a_fold_of_before_tokens_were_counted_counts_those_of_its_sum() {
        let worker_ref = WorkerRef { runtime_id: RuntimeId::mint(), worker_id: WorkerId::mint() };
        let mut fold = Fold::new(worker_ref, Timestamp::UNIX_EPOCH);
        fold.usage = Usage { input_tokens: Some(100), output_tokens: Some(20), ..Usage::zero() };
        let mut written = serde_json::to_value(&fold).unwrap();
        written.as_object_mut().unwrap().remove("known_tokens").unwrap();
        let fold: Fold = serde_json::from_value(written).unwrap();
        assert_eq!(fold.known_tokens(), 120);
    }
}
