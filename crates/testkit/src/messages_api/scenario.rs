//! What the model does, told by the prompt. Nothing here does I/O or knows a clock.

use std::{str::FromStr, time::Duration};

use musher_scripted::model_api;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    answer::{Answer, Block, Cut, Ending, StopReason},
    prompt::{Marker, Turn},
    violation::Violation,
};

/// When a spent limit resets, unless its marker says otherwise.
const RESET_SECS: u64 = 3600;

/// The longest text of `giant`: twice the longest line a client of ours must take.
const MAX_GIANT: usize = 32 << 20;

/// The most words of `slow`: enough for any stream that a test can wait for.
const MAX_WORDS: usize = 100_000;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Script {
    Answer(Answer),
    Refuse(Refusal),
    /// No answer, not even its head.
    Silence,
}

/// An HTTP error of the vendor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// In the vendor's shape.
    pub(super) fn answer(&self) -> model_api::Answer {
        let error = json!({"type": self.kind, "message": self.message});
        let request_id = format!("req_{}", Uuid::new_v4().simple());
        let body = json!({"type": "error", "error": error, "request_id": request_id});
        let answer = model_api::Answer::json(self.status, &body);
        self.headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    }
}

/// The script for a turn: `attempt` counts the requests with this prompt from 1, `now` is in unix
/// seconds.
pub(super) fn script(turn: &Turn, attempt: usize, now: u64) -> Result<Script, Violation> {
    let Some(marker) = Marker::last_in(&turn.prompt) else {
        let beginning: String = turn.prompt.trim().chars().take(40).collect();
        return Ok(text(format!("FAKE-OK: {beginning}")));
    };
    let Marker { name, argument } = marker;
    let unknown = || Violation::Scenario(format!("@@{name}:{argument}@@"));
    let is_tool = matches!(name, "bash" | "write" | "read" | "edit" | "two" | "tool" | "tools");
    if is_tool && turn.step > 0 {
        return Ok(text(format!("FAKE-DONE {name} step={}", turn.step)));
    }
    Ok(match name {
        "text" => text(argument),
        "think" => complete(vec![Block::Thinking("Let me think about it.".into()), said("thought done")]),
        "bash" => calls(vec![said("I will run it."), bash(argument)]),
        "write" => calls(vec![tool("Write", json!({"file_path": argument, "content": "line 1\nline 2\n"}))]),
        "read" => calls(vec![tool("Read", json!({"file_path": argument}))]),
        "edit" => calls(vec![tool(
            "Edit",
            json!({"file_path": argument, "old_string": "line 2", "new_string": "LINE TWO"}),
        )]),
        "two" => calls(vec![said("Two tools."), bash("echo one"), bash("echo two")]),
        "loop" => calls(vec![bash(&format!("echo loop-{}", turn.step))]),
        "tool" => {
            let (tool_name, input) = argument.split_once('|').unwrap_or((argument, "{}"));
            let input = serde_json::from_str(input).ok().ok_or_else(unknown)?;
            calls(vec![tool(tool_name, input)])
        }
        "tools" => {
            let wanted: Vec<(String, Value)> = serde_json::from_str(argument).ok().ok_or_else(unknown)?;
            calls(wanted.into_iter().map(|(name, input)| tool(&name, input)).collect())
        }
        "slow" => {
            let [count, millis] = numbers(argument).ok_or_else(unknown)?;
            let count = usize::try_from(count).ok().filter(|count| *count <= MAX_WORDS);
            let words: Vec<_> = (0..count.ok_or_else(unknown)?).map(|n| format!("word{n}")).collect();
            let pace = Duration::from_millis(millis);
            Script::Answer(Answer { pace, ..Answer::of(vec![worded(&words.join(" "))]) })
        }
        "giant" => {
            let length = argument.parse().ok().filter(|length| *length <= MAX_GIANT).ok_or_else(unknown)?;
            let text = "0123456789abcdef".chars().cycle().take(length).collect();
            complete(vec![Block::Text { text, cut: Cut::Chars(4096) }])
        }
        "utf8" => complete(vec![Block::Text { text: MANY_BYTES.repeat(20), cut: Cut::Chars(3) }]),
        "status" => status(argument, attempt).ok_or_else(unknown)?,
        "limit" => limit(argument, attempt, now).ok_or_else(unknown)?,
        "disconnect1" if attempt == 1 => broken(Ending::Disconnect { after: 2 }),
        "disconnect1" => text("recovered after a disconnect"),
        "sseerror1" if attempt == 1 => broken(Ending::Error { after: 2 }),
        "sseerror1" => text("recovered after an error event"),
        "hang" => Script::Silence,
        "hangmid" => broken(Ending::Silence { after: 1 }),
        "maxtokens" => stopped(vec![said("truncated ans")], StopReason::MaxTokens),
        "refusal" => stopped(Vec::new(), StopReason::Refusal),
        "empty" => complete(Vec::new()),
        _ => return Err(unknown()),
    })
}

const MANY_BYTES: &str = "h\u{e9}llo \u{4e16}\u{754c} \u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} e\u{301} \u{1f600} \
     \u{2028}line\u{2029} tab\tnl\nquote\" back\\slash end ";

fn text(text: impl AsRef<str>) -> Script {
    complete(vec![said(text.as_ref())])
}

fn complete(blocks: Vec<Block>) -> Script {
    Script::Answer(Answer::of(blocks))
}

fn calls(blocks: Vec<Block>) -> Script {
    stopped(blocks, StopReason::ToolUse)
}

fn stopped(blocks: Vec<Block>, stop: StopReason) -> Script {
    Script::Answer(Answer { stop, ..Answer::of(blocks) })
}

fn broken(ending: Ending) -> Script {
    Script::Answer(Answer { ending, ..Answer::of(vec![worded("one two three four")]) })
}

fn said(text: &str) -> Block {
    Block::Text { text: text.into(), cut: Cut::Chars(16) }
}

fn worded(text: &str) -> Block {
    Block::Text { text: text.into(), cut: Cut::Words }
}

fn bash(command: &str) -> Block {
    tool("Bash", json!({"command": command, "description": "fake command"}))
}

fn tool(name: &str, input: Value) -> Block {
    Block::ToolUse { name: name.into(), input }
}

/// `CODE[,N[,SECS]]`
fn status(argument: &str, attempt: usize) -> Option<Script> {
    let mut parts = argument.split(',');
    let status = parts.next()?.parse().ok().filter(|status| (400..600).contains(status))?;
    let times = optional(parts.next())?;
    let retry_after: Option<u64> = optional(parts.next())?;
    if parts.next().is_some() {
        return None;
    }
    if times.is_some_and(|times| attempt > times) {
        return Some(text(format!("recovered after {} errors", attempt - 1)));
    }
    let (kind, message) = match status {
        400 => ("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
        401 => ("authentication_error", "invalid x-api-key"),
        403 => ("permission_error", "Your API key does not have permission to use the specified resource."),
        404 => ("not_found_error", "model: fake-model"),
        413 => ("request_too_large", "Request exceeds the maximum size"),
        429 => ("rate_limit_error", "This request would exceed your rate limit"),
        529 => ("overloaded_error", "Overloaded"),
        _ => ("api_error", "Internal server error"),
    };
    let headers = retry_after.map(|secs| ("retry-after", secs.to_string())).into_iter().collect();
    Some(Script::Refuse(Refusal { status, kind, message: message.into(), headers }))
}

/// `KIND[,N[,SECS]]`
fn limit(argument: &str, attempt: usize, now: u64) -> Option<Script> {
    let mut parts = argument.split(',');
    let is_claim =
        |claim: &&str| !claim.is_empty() && claim.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let claim = parts.next().filter(is_claim)?;
    let times = optional(parts.next())?;
    let reset_in = optional(parts.next())?.unwrap_or(RESET_SECS);
    if parts.next().is_some() {
        return None;
    }
    if times.is_some_and(|times| attempt > times) {
        return Some(text("recovered from the limit"));
    }
    let short = if claim == "five_hour" { "rejected" } else { "allowed" };
    let long = if claim.starts_with("seven_day") { "rejected" } else { "allowed" };
    let reset = (now + reset_in).to_string();
    let headers = vec![
        ("anthropic-ratelimit-unified-status", "rejected".to_owned()),
        ("anthropic-ratelimit-unified-reset", reset.clone()),
        ("anthropic-ratelimit-unified-representative-claim", claim.to_owned()),
        ("anthropic-ratelimit-unified-5h-status", short.to_owned()),
        ("anthropic-ratelimit-unified-5h-reset", reset.clone()),
        ("anthropic-ratelimit-unified-7d-status", long.to_owned()),
        ("anthropic-ratelimit-unified-7d-reset", reset),
        ("anthropic-ratelimit-unified-overage-status", "rejected".to_owned()),
        ("retry-after", reset_in.to_string()),
        ("x-should-retry", "false".to_owned()),
    ];
    let message = "This request would exceed your account's rate limit. Please try again later.".to_owned();
    Some(Script::Refuse(Refusal { status: 429, kind: "rate_limit_error", message, headers }))
}

/// A part that may be missing or empty, but not be something else than a number.
fn optional<T: FromStr>(part: Option<&str>) -> Option<Option<T>> {
    match part {
        None | Some("") => Some(None),
        Some(part) => part.parse().ok().map(Some),
    }
}

fn numbers<const N: usize>(argument: &str) -> Option<[u64; N]> {
    let numbers: Vec<u64> = argument.split(',').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests;
