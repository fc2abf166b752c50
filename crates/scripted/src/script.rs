//! Scripts: what a scripted worker says to which input.

mod approval;
mod place;
mod refusal;
mod step;

use std::{collections::BTreeSet, time::Duration};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use self::place::{Fields, Place};
pub use self::refusal::{ScriptError, ScriptProblem};
pub(crate) use self::step::{RateLimit, Step, ToolCall};

/// Room for any pattern that a person would write, classes of Unicode included; a few nested repetitions
/// would otherwise take ten times as much for each turn of a script.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A script that can be played: every regular expression compiles, every step is known, every delay is bounded.
///
/// How large a script may be is for its reader to say, before it is parsed: what is kept is a small multiple
/// of its text, and a turn's regular expression up to 1 MiB.
#[derive(Clone, Debug)]
pub struct Script {
    turns: Vec<Turn>,
    otherwise: Otherwise,
    word_delay: Duration,
}

#[derive(Clone, Debug)]
struct Turn {
    pattern: Regex,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Otherwise {
    Echo,
    Steps(Vec<Step>),
    Fail,
}

/// What the script says to an input.
#[derive(Debug)]
pub(crate) enum Reply<'a> {
    /// The input's own words.
    Echo,
    /// These steps.
    Steps(&'a [Step]),
    /// It does not say.
    Nothing,
}

impl Script {
    /// The built-in script `echo`: the reply to every input is its text.
    #[must_use]
    pub fn echo() -> Self {
        Self { turns: Vec::new(), otherwise: Otherwise::Echo, word_delay: Duration::ZERO }
    }

    /// Reads a script: the text `"echo"`, or the object of a script file.
    ///
    /// # Errors
    ///
    /// When it could not be played as written. The error names the place in `value`.
    pub fn parse(value: &Value) -> Result<Self, ScriptError> {
        Self::read(&Place::root(value))
    }

    /// Reads what a profile says to this backend: `script`, `echo` when absent, and `word_delay_ms`.
    ///
    /// # Errors
    ///
    /// As [`Script::parse`], and for any other option. The error names the place in `options`.
    pub fn from_options(options: &Map<String, Value>) -> Result<Self, ScriptError> {
        let mut fields = Fields::root(options);
        let script = match fields.optional("script") {
            Some(script) => Self::read(&script)?,
            None => Self::echo(),
        };
        let word_delay = fields.optional_delay("word_delay_ms")?.unwrap_or_default();
        fields.finish()?;
        Ok(Self { word_delay, ..script })
    }

    pub(crate) fn reply(&self, input: &str) -> Reply<'_> {
        if let Some(turn) = self.turns.iter().find(|turn| turn.pattern.is_match(input)) {
            return Reply::Steps(&turn.steps);
        }
        match &self.otherwise {
            Otherwise::Echo => Reply::Echo,
            Otherwise::Steps(steps) => Reply::Steps(steps),
            Otherwise::Fail => Reply::Nothing,
        }
    }

    /// The delay between the words of texts that have none of their own.
    pub(crate) fn word_delay(&self) -> Duration {
        self.word_delay
    }

    /// The tools that the script mentions, each once, in alphabetical order.
    pub(crate) fn tools(&self) -> BTreeSet<&str> {
        let otherwise: &[Step] = match &self.otherwise {
            Otherwise::Steps(steps) => steps,
            Otherwise::Echo | Otherwise::Fail => &[],
        };
        self.turns.iter().flat_map(|turn| &turn.steps).chain(otherwise).flat_map(Step::tools).collect()
    }

    fn read(place: &Place<'_>) -> Result<Self, ScriptError> {
        if is_echo(place) {
            return Ok(Self::echo());
        }
        let mut fields = place.fields("\"echo\" or an object")?;
        let turns = match fields.optional("turns") {
            Some(turns) => turns.items()?.iter().map(Turn::read).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let otherwise = match fields.optional("otherwise") {
            Some(otherwise) => Otherwise::read(&otherwise)?,
            None => Otherwise::Fail,
        };
        fields.finish()?;
        Ok(Self { turns, otherwise, word_delay: Duration::ZERO })
    }
}

impl Turn {
    fn read(place: &Place<'_>) -> Result<Self, ScriptError> {
        let mut fields = place.fields("an object")?;
        let pattern = fields.required("match")?;
        let pattern = RegexBuilder::new(pattern.text()?)
            .size_limit(MAX_PATTERN_BYTES)
            .build()
            .map_err(|error| pattern.refuse(ScriptProblem::Pattern(error)))?;
        let steps = steps(&mut fields)?;
        fields.finish()?;
        Ok(Self { pattern, steps })
    }
}

impl Otherwise {
    fn read(place: &Place<'_>) -> Result<Self, ScriptError> {
        if is_echo(place) {
            return Ok(Self::Echo);
        }
        let mut fields = place.fields("\"echo\" or an object")?;
        let steps = steps(&mut fields)?;
        fields.finish()?;
        Ok(Self::Steps(steps))
    }
}

fn is_echo(place: &Place<'_>) -> bool {
    place.value().as_str() == Some("echo")
}

fn steps(fields: &mut Fields<'_>) -> Result<Vec<Step>, ScriptError> {
    fields.required("steps")?.items()?.iter().map(Step::read).collect()
}

#[cfg(test)]
mod tests;
