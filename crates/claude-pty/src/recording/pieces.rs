//! Secrets in what the model says, which comes in pieces: one may be cut anywhere. Pure.
//!
//! A piece whose end may begin a secret waits until it is known how it goes on, and all that comes behind it waits,
//! too. So what holds no secret is recorded as it came, in the order in which it came.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use musher_backend::{Found, Known, Look, Secrets};
use serde_json::Value;

/// What may wait, in bytes. A secret is some pieces long, and little comes between them; where more comes, the rest
/// of the block's pieces is left out, for its complete line says it all.
const ROOM: usize = 1024 * 1024;

/// What the lines of a piece, and of a block's beginning and end, hold.
const MARK: &str = "\"content_block_";

/// Lines that are recorded once it is known how the pieces before them go on.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    waiting: VecDeque<Waiting>,
    /// The number of the first that waits.
    first: usize,
    /// How long the lines are together.
    length: usize,
    /// The blocks with an open end.
    blocks: BTreeMap<Key, Block>,
}

/// Something in its place.
#[derive(Debug)]
struct Waiting {
    line: Line,
    piece: Option<Piece>,
    /// Its text is a part of an open end.
    is_open: bool,
}

#[derive(Debug)]
pub(super) enum Line {
    /// A line of the program's stdout.
    Said { at_ms: u64, bytes: Vec<u8> },
    /// A line of the cassette.
    Whole(String),
}

/// The call of the subagent that speaks, and the block's place in its message.
type Key = (Option<String>, u64);

/// A block of the model's that is being streamed.
#[derive(Debug, Default)]
struct Block {
    /// The pieces that wait for the next one, by number.
    open: Vec<usize>,
    /// How much of the first of them is settled.
    settled: usize,
    /// So many bytes behind that are hidden by a name that is settled.
    hidden: usize,
    /// The rest of it is left out.
    is_withheld: bool,
}

/// A piece of a block.
#[derive(Debug)]
struct Piece {
    value: Value,
    /// Where its text stands in the value.
    pointer: String,
    text: Vec<u8>,
    is_changed: bool,
}

/// What a line means to the blocks.
enum Meaning {
    Begins(Key, Option<Piece>),
    Goes(Key, Piece),
    Ends(Key),
    /// The turn is over, and with it what the worker's own model said.
    EndsTurn,
    Nothing,
}

impl Pieces {
    /// Takes the next line.
    pub(super) fn push(&mut self, line: Line, secrets: &Secrets) {
        let meaning = match &line {
            Line::Said { bytes, .. } => self.meaning(bytes),
            Line::Whole(_) => Meaning::Nothing,
        };
        let piece = match meaning {
            Meaning::Begins(key, piece) => {
                self.settle(&key, Known::All, secrets);
                piece.map(|piece| (key, piece))
            }
            Meaning::Goes(key, piece) => Some((key, piece)),
            Meaning::Ends(key) => {
                self.settle(&key, Known::All, secrets);
                None
            }
            Meaning::EndsTurn => {
                for key in self.keys().into_iter().filter(|(call, _)| call.is_none()) {
                    self.settle(&key, Known::All, secrets);
                }
                None
            }
            Meaning::Nothing => None,
        };
        self.length += line.len();
        let number = self.first + self.waiting.len();
        match piece {
            Some((key, piece)) => {
                self.waiting.push_back(Waiting { line, piece: Some(piece), is_open: true });
                self.blocks.entry(key.clone()).or_default().open.push(number);
                self.settle(&key, Known::SoFar, secrets);
            }
            None => self.waiting.push_back(Waiting { line, piece: None, is_open: false }),
        }
        if self.length > ROOM {
            self.withhold();
        }
    }

    /// The next line, when it waits for nothing.
    pub(super) fn pop(&mut self) -> Option<Line> {
        let next = self.waiting.pop_front_if(|next| !next.is_open)?;
        self.first += 1;
        self.length -= next.line.len();
        Some(next.said())
    }

    /// The stream breaks off, perhaps in the middle of a secret: nothing waits any more.
    pub(super) fn break_off(&mut self, secrets: &Secrets) {
        for key in self.keys() {
            self.settle(&key, Known::BrokenOff, secrets);
        }
    }

    fn meaning(&self, line: &[u8]) -> Meaning {
        // Most lines are none of this, and need not be read.
        let text = str::from_utf8(line).ok().filter(|text| !self.blocks.is_empty() || text.contains(MARK));
        let Some(value) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            return Meaning::Nothing;
        };
        if value["type"] == "result" {
            return Meaning::EndsTurn;
        }
        if value["type"] != "stream_event" {
            return Meaning::Nothing;
        }
        let call = value["parent_tool_use_id"].as_str().map(str::to_owned);
        let key = (call, value["event"]["index"].as_u64().unwrap_or_default());
        match value["event"]["type"].as_str() {
            Some("content_block_start") => {
                let is_text = |name: &str| matches!(name, "text" | "thinking");
                Meaning::Begins(key, Piece::of(value, "/event/content_block", is_text))
            }
            Some("content_block_delta") => Piece::of(value, "/event/delta", |name| name != "type")
                .map_or(Meaning::Nothing, |piece| Meaning::Goes(key, piece)),
            Some("content_block_stop") => Meaning::Ends(key),
            Some(_) | None => Meaning::Nothing,
        }
    }

    /// Puts names in the place of a block's secrets, and lets go what is no part of one.
    fn settle(&mut self, key: &Key, known: Known, secrets: &Secrets) {
        let Some(mut block) = self.blocks.remove(key) else { return };
        if block.is_withheld {
            self.replace(&block.open, 0..self.text(&block.open).len(), b"");
        } else {
            self.name(&mut block, known, secrets);
        }
        while let Some(number) = block.open.first().copied() {
            let length = self.text(&[number]).len();
            if length > block.settled {
                break;
            }
            block.settled -= length;
            block.open.remove(0);
            self.close(&[number]);
        }
        if known == Known::SoFar && (block.is_withheld || !block.open.is_empty()) {
            self.blocks.insert(key.clone(), block);
        }
    }

    /// Puts names in the place of a block's secrets. What that settles is not looked at again.
    fn name(&mut self, block: &mut Block, known: Known, secrets: &Secrets) {
        let rest = self.text(&block.open).split_off(block.settled);
        let Look { found, certain, hidden } = secrets.look(&rest, block.hidden, known);
        let before = block.settled;
        block.settled += certain;
        block.hidden = hidden;
        // From the last to the first, so that the places of the others stay what they are.
        for Found { place, name } in found.into_iter().rev() {
            block.settled = block.settled - place.len() + name.len();
            self.replace(&block.open, before + place.start..before + place.end, name.as_bytes());
        }
    }

    /// More waits than may: what is open is left out, and so is what follows it in its block.
    fn withhold(&mut self) {
        for key in self.keys() {
            let Some(block) = self.blocks.remove(&key) else { continue };
            self.replace(&block.open, block.settled..self.text(&block.open).len(), b"");
            self.close(&block.open);
            self.blocks.insert(key, Block { is_withheld: true, ..Block::default() });
        }
    }

    fn keys(&self) -> Vec<Key> {
        self.blocks.keys().cloned().collect()
    }

    /// The text of these pieces together.
    fn text(&self, numbers: &[usize]) -> Vec<u8> {
        let pieces = numbers.iter().filter_map(|number| self.waiting[number - self.first].piece.as_ref());
        pieces.flat_map(|piece| &piece.text).copied().collect()
    }

    /// Replaces a part of the text of these pieces together. What takes its place stands where it began.
    fn replace(&mut self, numbers: &[usize], part: Range<usize>, with: &[u8]) {
        let mut begin = 0;
        for number in numbers {
            let Some(piece) = &mut self.waiting[number - self.first].piece else { continue };
            let end = begin + piece.text.len();
            let here = part.start.max(begin)..part.end.min(end);
            if here.start < here.end {
                let with = if here.start == part.start { with } else { b"" };
                piece.text.splice(here.start - begin..here.end - begin, with.iter().copied());
                piece.is_changed = true;
            }
            begin = end;
        }
    }

    /// These pieces wait no more.
    fn close(&mut self, numbers: &[usize]) {
        for number in numbers {
            self.waiting[number - self.first].is_open = false;
        }
    }
}

impl Waiting {
    /// The line as it is to be recorded.
    fn said(self) -> Line {
        match (self.line, self.piece) {
            (Line::Said { at_ms, bytes }, Some(piece)) if piece.is_changed => {
                let n_behind = bytes.len() - bytes.trim_ascii_end().len();
                let behind = &bytes[bytes.len() - n_behind..];
                Line::Said { at_ms, bytes: [piece.said().as_bytes(), behind].concat() }
            }
            (line, _) => line,
        }
    }
}

impl Piece {
    /// The piece in a line: the text with such a name below a pointer, where there is some.
    fn of(value: Value, pointer: &str, is_text: impl Fn(&str) -> bool) -> Option<Self> {
        let fields = value.pointer(pointer)?.as_object()?;
        let (name, text) =
            fields.iter().find_map(|(name, text)| Some((name, text.as_str()?)).filter(|_| is_text(name)))?;
        let (pointer, text) = (format!("{pointer}/{name}"), text.as_bytes().to_vec());
        (!text.is_empty()).then_some(Self { value, pointer, text, is_changed: false })
    }

    /// The line with the text as it is now.
    fn said(mut self) -> String {
        if let Some(text) = self.value.pointer_mut(&self.pointer) {
            *text = String::from_utf8_lossy(&self.text).into();
        }
        self.value.to_string()
    }
}

impl Line {
    fn len(&self) -> usize {
        match self {
            Self::Said { bytes, .. } => bytes.len(),
            Self::Whole(text) => text.len(),
        }
    }
}

#[cfg(test)]
mod tests;
