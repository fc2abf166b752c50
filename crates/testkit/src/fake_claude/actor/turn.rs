//! What a turn consists of, told by its prompt.

use std::time::Duration;

use serde_json::Value;

use crate::{fake_claude::speech::Speech, messages_api::prompt::Marker};

/// The most words of `slow`, and the longest text of `big`: twice the longest line that Musher takes.
const MAX_WORDS: usize = 100_000;
const MAX_BIG: usize = 32 << 20;

/// The longest time behind a word of `slow`: an hour, which no test waits for.
const MAX_MILLIS: u64 = 3_600_000;

/// The length of the pieces that a big text comes in, as the vendor's do at most.
const PIECE: usize = 4096;

/// An open turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// What was said of the text that is under way.
    pub(super) said: String,
    pub(super) question: Option<Question>,
}

/// Whether a tool may run.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) request_id: String,
    pub(super) call_id: String,
    pub(super) command: String,
}

/// Something to do in a turn.
#[derive(Debug)]
pub(super) enum Step {
    Say(Value),
    /// A piece of a text.
    Delta(String),
    Pause(Duration),
    Ask(Question),
    /// The turn is over, as it should be.
    End,
    /// The turn is over before its end, for this reason.
    Aborted(&'static str),
    Crash,
    Exit(u8),
    LeaveChild,
}

/// What a prompt asks for.
///
/// # Errors
///
/// When its marker is none of the fake's.
pub(super) fn script(prompt: &str, speech: &mut Speech) -> Result<Vec<Step>, String> {
    let Some(Marker { name, argument }) = Marker::last_in(prompt) else {
        let beginning: String = prompt.trim().chars().take(40).collect();
        return Ok(closed(text([format!("FAKE-OK: {beginning}").as_str()], Duration::ZERO, speech)));
    };
    let unknown = || format!("there is no @@{name}:{argument}@@");
    Ok(match name {
        "text" => closed(text([argument], Duration::ZERO, speech)),
        "slow" => {
            let (count, millis) = argument.split_once(',').ok_or_else(unknown)?;
            let count = count.parse().ok().filter(|count: &usize| *count <= MAX_WORDS).ok_or_else(unknown)?;
            let millis = millis.parse().ok().filter(|millis| *millis <= MAX_MILLIS).ok_or_else(unknown)?;
            let pace = Duration::from_millis(millis);
            let words: Vec<_> = (0..count).map(|n| format!("word{n} ")).collect();
            closed(text(words.iter().map(String::as_str), pace, speech))
        }
        "big" => {
            let length = argument.parse().ok().filter(|length| *length <= MAX_BIG).ok_or_else(unknown)?;
            let pieces: Vec<_> =
                (0..length).step_by(PIECE).map(|at| "x".repeat(PIECE.min(length - at))).collect();
            closed(text(pieces.iter().map(String::as_str), Duration::ZERO, speech))
        }
        "bash" => {
            let (lines, call_id) = speech.call(argument);
            let question = Question { request_id: speech.fresh(), call_id, command: argument.to_owned() };
            lines.into_iter().map(Step::Say).chain([Step::Ask(question)]).collect()
        }
        "hang" => Vec::new(),
        "crash" => {
            let begun = speech.begin().into_iter().map(Step::Say);
            begun.chain([Step::Delta("half of ".to_owned()), Step::Crash]).collect()
        }
        "exit" => vec![Step::Exit(argument.parse().ok().ok_or_else(unknown)?)],
        "child" => {
            let said = text(["left a process"], Duration::ZERO, speech);
            [Step::LeaveChild].into_iter().chain(closed(said)).collect()
        }
        _ => return Err(unknown()),
    })
}

/// A message with one text, which comes in these pieces.
pub(super) fn text<'a>(
    pieces: impl IntoIterator<Item = &'a str>,
    pace: Duration,
    speech: &mut Speech,
) -> Vec<Step> {
    let mut steps: Vec<_> = speech.begin().into_iter().map(Step::Say).collect();
    let mut whole = String::new();
    for piece in pieces {
        whole.push_str(piece);
        steps.push(Step::Delta(piece.to_owned()));
        if !pace.is_zero() {
            steps.push(Step::Pause(pace));
        }
    }
    steps.extend(speech.end(&whole).into_iter().map(Step::Say));
    steps
}

fn closed(mut steps: Vec<Step>) -> Vec<Step> {
    steps.push(Step::End);
    steps
}
