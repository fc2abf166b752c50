//! What work cost, as the log says.

use musher_protocol::{Payload, Usage};

use super::Fold;

impl Fold {
    pub(super) fn add_usage(&mut self, payload: &Payload) {
        let Some(increment) = payload.increment() else { return };
        self.usage.add(&increment);
        let tokens = [increment.input_tokens, increment.output_tokens].into_iter().flatten();
        self.known_tokens = tokens.fold(self.known_tokens, u64::saturating_add);
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
