//! What clients ask for.

use musher_backend as backend;
use musher_protocol::{Actor, Delivery, LimitKind, Payload, WorkerCreated};

use super::{Accepts, Answer, Command, Effect, NewInput, Prior, Refusal, Step, Token};

/// What the inputs of one worker that wait may hold in memory: a few of the largest.
const QUEUE_BYTES: usize = 8 << 20;

/// Half of what is on the way to a session at most, which may be a long time in hearing it. One more waits in the queue,
/// and counts there.
const MAX_STEERS: usize = 64;

impl Step<'_> {
    /// The worker exists, and its first inputs are accepted with it.
    pub(super) fn created(&mut self, by: Actor, first: Vec<NewInput>) {
        let spec = self.state.spec.clone();
        self.record(Payload::WorkerCreated(Box::new(WorkerCreated {
            intent: spec.intent.clone(),
            profile: spec.profile_name.clone(),
            backend: spec.profile.backend.clone(),
            display_name: spec.display_name.clone(),
            labels: spec.labels.clone(),
            by,
        })));
        for input in first {
            self.accept(input);
        }
    }

    pub(super) fn command(&mut self, command: Command, token: Token) {
        match command {
            Command::Send { input, prior } => self.send(input, prior, token),
            Command::Interrupt(request) => self.interrupt(request, token),
            Command::Stop(request, grace) => self.stop(request, grace, token),
            Command::Cancel(request) => self.cancel(request, token),
            Command::Decide { approval_id, verdict, note, remember, by } => {
                self.decide(&approval_id, verdict, note, remember, by, token)
            }
            Command::RaiseLimits { limits, by } => self.raise_limits(limits, by, token),
        }
    }

    fn send(&mut self, input: NewInput, prior: Prior, token: Token) {
        let input_id = input.input_id.clone();
        let answer = match (prior, self.refusal(&input)) {
            (Prior::SameContent, _) => Ok(Answer::Input { input_id, duplicate: true }),
            (Prior::OtherContent, _) => Err(Refusal::OtherContent(input_id)),
            (Prior::New, Some(refusal)) => Err(refusal),
            (Prior::New, None) => {
                self.accept(input);
                Ok(Answer::Input { input_id, duplicate: false })
            }
        };
        self.answer(token, answer);
    }

    fn refusal(&self, input: &NewInput) -> Option<Refusal> {
        let fold = &self.state.fold;
        let limit = self.state.limits().queued_inputs;
        let busy = fold.turn.is_some() || !fold.queue.is_empty();
        if fold.status.is_terminal() || self.state.end.is_some() {
            Some(Refusal::NotRunning)
        } else if self.state.draining {
            Some(Refusal::Draining)
        } else if let Some(which) = self.state.spent(self.now)
            && !(which == LimitKind::Turns && input.delivery == Delivery::Steer && self.can_steer())
        {
            Some(Refusal::LimitReached(which))
        } else if self.state.store_full {
            Some(Refusal::StoreFull)
        } else if input.delivery == Delivery::RejectIfBusy && busy {
            Some(Refusal::Busy)
        } else if fold.queue.len() >= limit {
            Some(Refusal::QueueFull { limit })
        } else if fold.queue.iter().map(|queued| queued.content.len()).sum::<usize>() + input.content.len()
            > QUEUE_BYTES
        {
            Some(Refusal::QueueTooLarge { limit: QUEUE_BYTES })
        } else {
            None
        }
    }

    fn accept(&mut self, input: NewInput) {
        let place = self.effects.len();
        let input_id = input.input_id.clone();
        let steers = input.delivery == Delivery::Steer && self.can_steer();
        self.accept_quietly(input);
        let sequence = if steers {
            let (input, sequence) = self.deliver(&input_id);
            self.tell(backend::Command::Steer(input));
            Some(sequence)
        } else {
            // What begins is the oldest input, which need not be this one.
            self.begin_turn().filter(|(begun, _)| *begun == input_id).map(|(_, sequence)| sequence)
        };
        if let Some(Effect::Record(draft)) = self.effects.get_mut(place)
            && let Some(accepts) = &mut draft.accepts
        {
            accepts.transcript_sequence = sequence;
        }
    }

    /// Puts an input into the queue and begins nothing.
    pub(super) fn accept_quietly(&mut self, input: NewInput) {
        let NewInput { input_id, kind, content, delivery, by, digest } = input;
        let accepts = Accepts { input_id: input_id.clone(), digest, transcript_sequence: None };
        let accepted = Payload::InputAccepted { input_id, kind, content, blob: None, delivery, by };
        self.record_draft(accepted, Some(accepts));
    }

    fn can_steer(&self) -> bool {
        let state = &self.state;
        state.capabilities.steer
            && state.fold.turn.as_ref().is_some_and(|turn| turn.n_untaken() < MAX_STEERS)
            && state.ending.is_none()
            && state.parked.is_none()
            && state.is_live()
    }
}
