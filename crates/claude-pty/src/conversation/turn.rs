//! The open turn, and how far it is.

use musher_backend::Event;
use musher_protocol::InputId;
use uuid::Uuid;

use super::ending::Signs;
use crate::{say::Said, wire::Init};

/// New versions name the messages that a turn answers; where they name none, it answers none.
const NAMES_MESSAGES: &str = "msg_lifecycle_v1";

/// The open turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The input that it is about; none for work that woke by itself.
    pub(super) asked: Option<Asked>,
    /// An input has it, also one that was taken back before it was sent: its end is the input's.
    pub(super) has_input: bool,
    pub(super) run: Run,
    pub(super) interrupt: Interrupt,
    pub(super) signs: Signs,
    /// Work that woke by itself and has begun before this turn's result came.
    n_behind: u32,
    /// What that work has shown, all of it.
    signs_behind: Signs,
    /// It began behind another turn, as others did.
    is_one_of_several: bool,
}

/// An input on its way to the model.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) input_id: InputId,
    /// The message's own id.
    pub(super) uuid: Uuid,
    /// The message, as long as it has not been written.
    pub(super) unsent: Option<Said>,
    pub(super) is_taken: bool,
}

/// What the program does for the turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Run {
    /// Nothing yet: its message waits, here or there.
    #[default]
    Awaited,
    /// It does something else first, which woke by itself.
    Foreign,
    /// It works on it.
    Underway,
}

/// How far an interrupt is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Interrupt {
    #[default]
    Unasked,
    /// It waits until the program works on the turn: one that overtakes the message is lost on new versions.
    Held,
    /// It was sent under this id.
    Sent(String),
    /// The program has obeyed; what it still says is cut off.
    Obeyed,
}

impl Turn {
    /// A turn that woke by itself.
    pub(super) fn background() -> Self {
        Self { run: Run::Underway, ..Self::default() }
    }

    /// Work that had begun behind this turn, which is over.
    pub(super) fn behind(self, has_spoken: bool) -> Option<Self> {
        let n_behind = self.n_behind.checked_sub(1)?;
        // Of several, nobody counts who said or showed what.
        let is_one_of_several = self.is_one_of_several || n_behind > 0;
        let signs_behind = if n_behind > 0 { self.signs_behind.clone() } else { Signs::default() };
        let mut signs = self.signs_behind;
        signs.has_spoken |= has_spoken || is_one_of_several;
        // The program works on it already, so an interrupt has met it, too.
        let interrupt = self.interrupt;
        Some(Self { signs, n_behind, signs_behind, is_one_of_several, interrupt, ..Self::background() })
    }

    /// Whether other work has begun behind it.
    pub(super) fn has_behind(&self) -> bool {
        self.n_behind > 0
    }

    /// Some of the work behind it has ended before it.
    pub(super) fn end_behind(&mut self) {
        self.n_behind = self.n_behind.saturating_sub(1);
        if self.n_behind == 0 {
            self.signs_behind = Signs::default();
        }
    }

    /// Where belongs what the program shows now: it works on what has begun last.
    pub(super) fn shown(&mut self) -> &mut Signs {
        if self.n_behind > 0 { &mut self.signs_behind } else { &mut self.signs }
    }

    /// A turn for an input.
    pub(super) fn of(asked: Asked) -> Self {
        Self { asked: Some(asked), has_input: true, ..Self::default() }
    }

    /// An input comes while it runs.
    pub(super) fn join(&mut self, asked: Asked) {
        self.asked = Some(asked);
        self.has_input = true;
    }

    /// The program begins to work on something else before it says how this ended.
    pub(super) fn begin_behind(&mut self, has_spoken: bool) {
        self.shown().has_spoken |= has_spoken;
        // A program that begins and begins does not end by this count.
        self.n_behind = self.n_behind.saturating_add(1);
    }

    /// The program begins to work.
    pub(super) fn begin(&mut self, init: &Init) {
        let names = |asked: &Asked| match &init.user_message_uuids {
            Some(uuids) => uuids.contains(&asked.uuid.to_string()),
            None => !init.capabilities.iter().any(|name| name == NAMES_MESSAGES),
        };
        let is_ours = self.asked.as_ref().is_none_or(|asked| asked.unsent.is_none() && names(asked));
        self.run = if is_ours { Run::Underway } else { Run::Foreign };
    }

    /// Whether the program works on something that is not the turn's input.
    pub(super) fn is_foreign(&self) -> bool {
        let is_unsent = self.asked.as_ref().is_some_and(|asked| asked.unsent.is_some());
        self.run == Run::Foreign || is_unsent
    }

    /// The proof that the model was asked, the first time.
    pub(super) fn take(&mut self) -> Option<Event> {
        if self.is_foreign() {
            return None;
        }
        let asked = self.asked.as_mut()?;
        let is_first = !std::mem::replace(&mut asked.is_taken, true);
        is_first.then(|| Event::InputTaken { input_id: asked.input_id.clone() })
    }
}
