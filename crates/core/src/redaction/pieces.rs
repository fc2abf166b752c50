//! Secrets in what comes in pieces, which may be cut anywhere. Pure.
//!
//! An end that may be the beginning of a secret waits until it is known how it goes on ([`Unsaid`]), and until its stream is
//! over. So it may come behind events of other streams, and never behind the end of its own.

use musher_backend::{Event, Known, Report, Secrets, Unsaid};
use musher_protocol::{Block, ToolCallId};

/// Streams of one turn that are open at once, each with an end that may wait. A model has one or two, and each of the
/// tasks beside it. What begins while there are more is not shown in pieces, for nobody would know how its ends go on.
pub(super) const MAX_OPEN: usize = 256;

/// The diagnostic that says so.
const WITHHELD: &str = "redaction.withheld";

/// What comes in pieces in the turn that runs.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// In the order in which they began.
    open: Vec<Open>,
    /// More were open than may be: what is not known by now stays unknown for the rest of the turn, for a part of it may
    /// have been left out.
    is_over_bound: bool,
}

/// A stream that has begun.
#[derive(Debug)]
struct Open {
    stream: Stream,
    end: End,
}

/// What of a stream was not shown yet.
#[derive(Debug)]
enum End {
    /// It may begin a secret. Empty where nothing waits.
    Waits(Unsaid),
    /// The stream broke off, perhaps in the middle of a secret. The rest of the secret may come all the same.
    BrokeOff,
}

/// What comes in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Text(Block),
    Thinking(Block),
    Arguments(ToolCallId),
}

impl Pieces {
    /// Whether nothing is known of any stream.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && !self.is_over_bound
    }

    /// What comes before this event, because something does not wait any longer.
    pub(super) fn before(&mut self, event: &Event, secrets: &Secrets) -> Vec<Report> {
        match event {
            Event::TextDelta { block, .. } => self.begin(Stream::Text(*block)),
            Event::ThinkingDelta { block, .. } => self.begin(Stream::Thinking(*block)),
            Event::ToolCallDelta { tool_call_id, .. } => self.begin(Stream::Arguments(tool_call_id.clone())),
            Event::TextDone { block, .. } => self.whole(&Stream::Text(*block), secrets),
            Event::ThinkingDone { block, .. } => self.whole(&Stream::Thinking(*block), secrets),
            Event::ToolCallDone { tool_call_id, .. } => {
                self.whole(&Stream::Arguments(tool_call_id.clone()), secrets)
            }
            Event::ToolResult { tool_call_id, .. } => {
                let called = Stream::Arguments(tool_call_id.clone());
                self.break_off(|stream| *stream == called, secrets)
            }
            Event::Retrying { discarded_blocks, .. } => {
                let is_discarded = |stream: &Stream| match stream {
                    Stream::Text(block) | Stream::Thinking(block) => discarded_blocks.contains(block),
                    // Which calls are superseded is not said; an end of theirs waits for the turn's.
                    Stream::Arguments(_) => false,
                };
                self.break_off(is_discarded, secrets)
            }
            // The attempt is over, and with it the turn where the limit lasts for too long.
            Event::RateLimited { .. } => self.break_off(|_| true, secrets),
            Event::TurnEnded(_) | Event::WokenEnded(_) => self.end(secrets),
            Event::InputTaken { .. }
            | Event::TurnStarted
            | Event::ToolCallStarted { .. }
            | Event::Usage(_)
            | Event::Environment(_)
            | Event::Diagnostic { .. }
            | Event::Background { .. }
            | Event::Alive => Vec::new(),
        }
    }

    /// What of a stream is certain to hold no secret.
    pub(super) fn piece(&mut self, stream: Stream, piece: &str, secrets: &Secrets) -> Event {
        let open = self.open.iter_mut().find(|open| open.stream == stream);
        // The session lives, though nothing can be said of it, or nothing yet.
        let Some(Open { end: End::Waits(end), .. }) = open else { return Event::Alive };
        let certain = secrets.say(end, piece, Known::SoFar);
        if certain.is_empty() { Event::Alive } else { stream.piece(certain) }
    }

    /// What still waits when all streams are over, whole or not: the next ones are others.
    pub(super) fn end(&mut self, secrets: &Secrets) -> Vec<Report> {
        let reports = self.break_off(|_| true, secrets);
        *self = Self::default();
        reports
    }

    /// Notes a stream that may be new.
    fn begin(&mut self, stream: Stream) -> Vec<Report> {
        if self.is_over_bound || self.open.iter().any(|open| open.stream == stream) {
            return Vec::new();
        }
        if self.open.len() < MAX_OPEN {
            self.open.push(Open { stream, end: End::Waits(Unsaid::default()) });
            return Vec::new();
        }
        self.is_over_bound = true;
        let message = format!(
            "{MAX_OPEN} texts and calls of one turn are open at once; what else begins in it is shown when it is whole"
        );
        vec![Report::Event(Event::Diagnostic { code: WITHHELD.to_owned(), message })]
    }

    /// All of a stream was said.
    fn whole(&mut self, done: &Stream, secrets: &Secrets) -> Vec<Report> {
        let place = self.open.iter().position(|open| open.stream == *done);
        let Some(Open { stream, end: End::Waits(mut end) }) = place.map(|place| self.open.remove(place))
        else {
            return Vec::new();
        };
        stream.last(secrets.say(&mut end, "", Known::All)).into_iter().collect()
    }

    /// These break off, perhaps in the middle of a secret.
    fn break_off(&mut self, breaks: impl Fn(&Stream) -> bool, secrets: &Secrets) -> Vec<Report> {
        let mut reports = Vec::new();
        self.open.retain_mut(|open| {
            if !breaks(&open.stream) {
                return true;
            }
            let End::Waits(end) = &mut open.end else { return true };
            if end.is_empty() {
                return false;
            }
            let last = secrets.say(end, "", Known::BrokenOff);
            reports.extend(open.stream.clone().last(last));
            open.end = End::BrokeOff;
            true
        });
        reports
    }
}

impl Stream {
    fn piece(self, said: String) -> Event {
        match self {
            Self::Text(block) => Event::TextDelta { block, text: said },
            Self::Thinking(block) => Event::ThinkingDelta { block, text: said },
            Self::Arguments(tool_call_id) => Event::ToolCallDelta { tool_call_id, arguments: said },
        }
    }

    /// The last piece, if there is one.
    fn last(self, said: String) -> Option<Report> {
        (!said.is_empty()).then(|| Report::Event(self.piece(said)))
    }
}
