//! How a turn ended, read from its result.
//!
//! The program calls every failure of the API a success, so what counts is whether the result is an error, why
//! the turn ended, and what the API had answered; never the subtype or the exit code alone.

use jiff::Timestamp;
use musher_backend::{BackendError, Event, TurnEnd};
use musher_protocol::{StopReason, TurnError};

use crate::{
    bounded,
    wire::{RateLimit, TurnResult},
};

/// A message of the vendor's is a sentence or two; an error is no place for a page.
const MESSAGE: usize = 2048;

/// A plain "too many requests", which has no name of its own.
const REQUESTS: &str = "requests";

/// What a turn showed of its end before its result.
#[derive(Clone, Debug, Default)]
pub(super) struct Signs {
    /// The usage limit that refused.
    pub(super) limit: Option<RateLimit>,
    /// The program's word for the failure that it spoke of.
    pub(super) error: Option<String>,
    /// The last failed request was refused because the vendor is overloaded.
    pub(super) is_overloaded: bool,
    /// The vendor refuses the credentials again and again, so the turn was interrupted.
    pub(super) is_locked_out: bool,
    /// The model said something, or called a tool.
    pub(super) has_spoken: bool,
}

/// What a result ends.
#[derive(Debug)]
pub(super) enum Ending {
    Turn(TurnEnd),
    /// The attempt: a usage limit refuses.
    Limited {
        /// The vendor's word for the limit.
        scope: String,
        reset_at: Option<Timestamp>,
    },
}

impl Ending {
    /// The end of an input's turn. A limit leaves it open: the input comes again.
    pub(super) fn of_input(self) -> Event {
        match self {
            Self::Turn(end) => Event::TurnEnded(end),
            Self::Limited { scope, reset_at } => Event::RateLimited { scope, reset_at },
        }
    }

    /// The end of work that woke by itself. There is no input to come again when a limit has passed.
    pub(super) fn of_woken(self) -> Event {
        Event::WokenEnded(match self {
            Self::Turn(end) => end,
            Self::Limited { scope, reset_at: _ } => {
                TurnEnd::failed("rate_limited", format!("the limit `{}` refuses", bounded(&scope, MESSAGE)))
            }
        })
    }
}

/// Reads how the turn, or the attempt, ended.
pub(super) fn read(result: &TurnResult, signs: Signs) -> Ending {
    if result.is_aborted() && signs.is_locked_out {
        let message = "the vendor refuses the credentials (401)";
        return Ending::Turn(TurnEnd::failed(BackendError::AUTHENTICATION_FAILED, message));
    }
    if result.is_aborted() {
        return Ending::Turn(TurnEnd::Interrupted);
    }
    if result.is_error && is_limited(result, &signs) {
        let limit = signs.limit.unwrap_or_default();
        let reset_at = limit.resets_at.and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok());
        return Ending::Limited {
            scope: limit.rate_limit_type.unwrap_or_else(|| REQUESTS.to_owned()),
            reset_at,
        };
    }
    Ending::Turn(end(result, &signs))
}

fn is_limited(result: &TurnResult, signs: &Signs) -> bool {
    result.api_error_status == Some(429)
        || signs.limit.is_some()
        || signs.error.as_deref() == Some("rate_limit")
}

fn end(result: &TurnResult, signs: &Signs) -> TurnEnd {
    let vendor_stop_reason = result.stop_reason.clone();
    if vendor_stop_reason.as_deref() == Some("refusal") {
        return TurnEnd::Refused { vendor_stop_reason, message: message(result) };
    }
    if let Some(code) = failure(result, signs) {
        return TurnEnd::Failed(TurnError { code: code.to_owned(), message: message(result) });
    }
    if !signs.has_spoken {
        return TurnEnd::failed("empty_answer", "the model ended its turn without a word");
    }
    let stop_reason = match vendor_stop_reason.as_deref() {
        Some("end_turn") => StopReason::EndTurn,
        Some("max_tokens") => StopReason::Length,
        Some("stop_sequence") => StopReason::StopSequence,
        Some(_) | None => StopReason::Other,
    };
    TurnEnd::Completed { stop_reason, vendor_stop_reason }
}

fn failure(result: &TurnResult, signs: &Signs) -> Option<&'static str> {
    match result.terminal_reason.as_deref() {
        Some("max_turns" | "budget_exhausted") => return Some("vendor_limit"),
        Some("prompt_too_long" | "blocking_limit") => return Some("context_overflow"),
        Some(_) | None => {}
    }
    if !result.is_error {
        return None;
    }
    Some(match (signs.error.as_deref(), result.api_error_status) {
        (Some("authentication_failed"), _) | (_, Some(401 | 403)) => BackendError::AUTHENTICATION_FAILED,
        (Some("billing_error"), _) | (_, Some(402)) => "quota_exhausted",
        (_, Some(413)) => "context_overflow",
        (_, Some(529)) => "overloaded",
        // Old versions leave the status out.
        (_, None) if signs.is_overloaded => "overloaded",
        (_, _) => "provider_error",
    })
}

fn message(result: &TurnResult) -> String {
    let said = result.result.as_deref().filter(|text| !text.is_empty());
    let said = said.map_or_else(|| result.errors.join("; "), str::to_owned);
    let said = if said.is_empty() { format!("the turn ended with `{}`", result.subtype) } else { said };
    bounded(&said, MESSAGE)
}

#[cfg(test)]
mod tests;
