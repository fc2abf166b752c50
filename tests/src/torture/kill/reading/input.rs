//! An input's way through a log.

use musher_protocol::{EventId, InputId, Payload};

use crate::torture::kill::finding::Kind;

/// What a log has of an input.
#[derive(Debug, Default)]
pub(super) struct InputLife {
    /// The event that accepted it.
    pub(super) accepted: Option<String>,
    is_said: bool,
    is_taken: bool,
    is_dropped: bool,
}

/// What an event means to an input.
#[derive(Clone, Copy, Debug)]
pub(super) enum InputStep {
    Accepted,
    Said,
    Taken,
    Dropped,
}

/// The input that an event is about. A delivery may be repeated after a kill, so it is none of the steps.
pub(super) fn step(payload: &Payload) -> Option<(&InputId, InputStep)> {
    if let Payload::InputAccepted { input_id, .. } = payload {
        Some((input_id, InputStep::Accepted))
    } else if let Payload::UserMessage { input_id, .. } = payload {
        Some((input_id, InputStep::Said))
    } else if let Payload::SystemItem { input_id, .. } = payload {
        input_id.as_ref().map(|input_id| (input_id, InputStep::Said))
    } else if let Payload::InputTaken { input_id } = payload {
        Some((input_id, InputStep::Taken))
    } else if let Payload::InputDropped { input_id, .. } = payload {
        Some((input_id, InputStep::Dropped))
    } else {
        None
    }
}

impl InputLife {
    /// Takes a step, each of which there is at most once, none before the first.
    pub(super) fn go(&mut self, step: InputStep, event_id: &EventId) -> Option<(Kind, String)> {
        let again = match step {
            InputStep::Accepted => self.accepted.replace(event_id.to_string()).is_some(),
            InputStep::Said => std::mem::replace(&mut self.is_said, true),
            InputStep::Taken => std::mem::replace(&mut self.is_taken, true),
            InputStep::Dropped => std::mem::replace(&mut self.is_dropped, true),
        };
        if again {
            return Some((Kind::Doubled, format!("an input is {step:?} once")));
        }
        if self.accepted.is_none() {
            return Some((Kind::Lost, "the input's input_accepted comes first".to_owned()));
        }
        None
    }

    /// What it still waits for.
    pub(super) fn missing(&self) -> Option<&'static str> {
        (!self.is_said && !self.is_dropped).then_some("user_message or input_dropped")
    }
}
