//! What `strace -f -y -xx` writes, as calls with a beginning and an end.
//!
//! With `-xx` every string and path is in hex, so quotes, brackets and markers in the text are strace's own.

use std::{collections::HashMap, mem};

use super::blind::Blind;

/// Stands for the end of a call that never returned.
pub(super) const NEVER: usize = usize::MAX;

/// When a call ran, in lines of the trace. A call whose end is before another one's start happened before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where strace saw it begin.
    pub(super) start: usize,
    /// Where strace saw it return; [`NEVER`] when it did not.
    pub(super) end: usize,
}

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) span: Span,
    pub(super) name: String,
    /// Its arguments as strace shows them.
    pub(super) arguments: Vec<String>,
    pub(super) result: Returned,
}

/// How a call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// With a value; hex addresses count as 0.
    Value(i64),
    /// With an error, by its name.
    Error(String),
    /// The kernel never saw it: strace answered in its place.
    Injected,
    /// The process ended first.
    Never,
}

/// Reads a whole trace; lines are numbered from `first`.
pub(super) fn read(text: &str, first: usize) -> Result<Vec<Call>, Blind> {
    let mut calls = Vec::new();
    let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
    for (line, text) in (first..).zip(text.lines()) {
        let (thread, said) = text
            .split_once(' ')
            .map(|(thread, said)| (thread, said.trim_start()))
            .ok_or_else(|| Blind::new(line, "no thread before the call"))?;
        if said.starts_with("+++") || said.starts_with("---") {
            continue;
        }
        if let Some(head) = said.strip_suffix("<unfinished ...>") {
            if begun.insert(thread, (line, head.trim_end().to_owned())).is_some() {
                return Err(Blind::new(line, "a thread is in two calls"));
            }
        } else if let Some(resumed) = said.strip_prefix("<... ") {
            let (_name, tail) =
                resumed.split_once(" resumed>").ok_or_else(|| Blind::new(line, "what is resumed?"))?;
            let (start, head) =
                begun.remove(thread).ok_or_else(|| Blind::new(line, "resumed, but never begun"))?;
            calls.push(call(Span { start, end: line }, &(head + tail))?);
        } else {
            calls.push(call(Span { start: line, end: line }, said)?);
        }
    }
    let mut unfinished: Vec<_> = begun.into_values().collect();
    unfinished.sort_unstable();
    for (start, head) in unfinished {
        calls.push(call(Span { start, end: NEVER }, &(head + ") = ?"))?);
    }
    Ok(calls)
}

fn call(span: Span, text: &str) -> Result<Call, Blind> {
    let garbled = || Blind::new(span.start, format!("no call: {}", text.get(..120).unwrap_or(text)));
    let (name, rest) = text.split_once('(').ok_or_else(garbled)?;
    let (arguments, result) = rest.rsplit_once(" = ").ok_or_else(garbled)?;
    let arguments = arguments.trim_end().strip_suffix(')').ok_or_else(garbled)?;
    let result = returned(result).ok_or_else(garbled)?;
    let result = if span.end == NEVER { Returned::Never } else { result };
    // `= ?` is also what a call shows that was running when its process was killed.
    let span = if result == Returned::Never { Span { end: NEVER, ..span } } else { span };
    Ok(Call { span, name: name.to_owned(), arguments: split(arguments), result })
}

fn returned(text: &str) -> Option<Returned> {
    if text.ends_with("(INJECTED)") {
        return Some(Returned::Injected);
    }
    let mut words = text.split([' ', '<']);
    match words.next()? {
        "?" => Some(Returned::Never),
        "-1" => Some(Returned::Error(words.next()?.to_owned())),
        address if address.starts_with("0x") => Some(Returned::Value(0)),
        value => value.parse().ok().map(Returned::Value),
    }
}

/// Cuts arguments at the commas that are in no string, list or structure.
fn split(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut depth = 0_usize;
    let mut current = String::new();
    for c in text.chars() {
        match c {
            '[' | '{' | '<' | '(' => depth += 1,
            ']' | '}' | '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                arguments.push(mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    if !current.trim().is_empty() {
        arguments.push(current.trim().to_owned());
    }
    arguments
}

/// The bytes of a string argument. Fails when strace cut it.
pub(super) fn bytes(argument: &str, line: usize) -> Result<Vec<u8>, Blind> {
    let inner = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.ok_or_else(|| Blind::new(line, "a string that strace cut, or none"))?;
    unescape(inner).ok_or_else(|| Blind::new(line, "a string that is not in hex"))
}

/// The bytes of every `iov_base` in a vector or a message.
pub(super) fn vector_bytes(argument: &str, line: usize) -> Result<Vec<u8>, Blind> {
    let mut all = Vec::new();
    for part in argument.split("iov_base=").skip(1) {
        let end = part.find(", iov_len").ok_or_else(|| Blind::new(line, "a vector without lengths"))?;
        all.extend(bytes(&part[..end], line)?);
    }
    Ok(all)
}

/// What `-y` says that a descriptor is: its number, what it names, and whether that name is gone.
pub(super) fn descriptor(argument: &str) -> Option<(i64, String, bool)> {
    let (number, rest) = argument.split_once('<')?;
    let (name, after) = rest.rsplit_once('>')?;
    let number = if number == "AT_FDCWD" { -100 } else { number.parse().ok()? };
    Some((number, String::from_utf8(unescape(name)?).ok()?, after == "(deleted)"))
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'\\' {
            let [b'x', high, low, more @ ..] = after else { return None };
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(*high)? * 16 + digit(*low)?);
            rest = more;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
