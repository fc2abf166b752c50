//! Events as one line, for tests that compare what a session told.

use musher_backend::{Event, TurnEnd};

/// The events as one line, without the greeting, usage and signs of life.
///
/// # Panics
///
/// When something is among them that only sessions of a CLI tell.
#[must_use]
pub fn line(events: &[Event]) -> String {
    let is_quiet = |event: &&Event| !matches!(event, Event::Environment(_) | Event::Alive | Event::Usage(_));
    events.iter().filter(is_quiet).map(word).collect::<Vec<_>>().join(" ")
}

fn word(event: &Event) -> String {
    match event {
        Event::InputTaken { .. } => "taken".to_owned(),
        Event::TextDelta { block, text } => format!("{block}+{text}"),
        Event::TextDone { block, text } => format!("{block}={text}"),
        Event::ThinkingDelta { block, text } => format!("{block}~{text}"),
        Event::ThinkingDone { block, text } => format!("{block}#{text}"),
        Event::ToolCallStarted { name, .. } => format!("start({name})"),
        Event::ToolCallDelta { arguments, .. } => format!("more({arguments})"),
        Event::ToolCallDone { name, input, .. } => format!("{name}({input})"),
        Event::ToolResult { output, .. } => {
            let word = if output.is_error { "error" } else { "ok" };
            format!("{word}({})", output.content)
        }
        Event::RateLimited { scope, .. } => format!("limited({scope})"),
        Event::Retrying { attempt, max_attempts, discarded_blocks, .. } => {
            format!("again({attempt}/{max_attempts} without {discarded_blocks:?})")
        }
        Event::Diagnostic { code, .. } => format!("says({code})"),
        Event::TurnEnded(TurnEnd::Completed { stop_reason, vendor_stop_reason: None }) => {
            format!("{stop_reason:?}")
        }
        Event::TurnEnded(TurnEnd::Completed { stop_reason, vendor_stop_reason: Some(vendor) }) => {
            format!("{stop_reason:?}:{vendor}")
        }
        Event::TurnEnded(TurnEnd::Interrupted) => "Interrupted".to_owned(),
        Event::TurnEnded(TurnEnd::Failed(error)) => format!("Failed({})", error.code),
        Event::TurnEnded(TurnEnd::Refused { message, .. }) => format!("Refused({message})"),
        event @ (Event::TurnStarted
        | Event::Usage(_)
        | Event::Environment(_)
        | Event::Background { .. }
        | Event::WokenEnded(_)
        | Event::Alive) => panic!("not in a line: {event:?}"),
    }
}
