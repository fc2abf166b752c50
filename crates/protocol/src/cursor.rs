//! Places in a worker's log, opaque to clients.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::WorkerId;

const PREFIX: &str = "wo_";
/// 16 digits for the worker, 16 for the sequence number, 8 for the checksum.
const DIGITS: usize = 40;

/// A place in one worker's log: just behind the event with this sequence number.
///
/// Its text is `wo_` and lower hex. Clients keep it and give it back; they never read it. It is bound to its
/// worker, and it holds the checksum of the event it stands behind, so that a log with another history (a
/// restored backup) is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    worker: u64,
    seq: u64,
    checksum: u32,
}

/// The text is no cursor of any worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: expected `wo_` and {DIGITS} lower hex digits")]
pub struct CursorError;

impl Cursor {
    /// The place behind the event with this sequence number; 0 is the place before the first event.
    #[must_use]
    pub fn new(worker: &WorkerId, seq: u64, checksum: u32) -> Self {
        Self { worker: fingerprint(worker), seq, checksum }
    }

    /// Whether this cursor was made for that worker.
    #[must_use]
    pub fn is_of(self, worker: &WorkerId) -> bool {
        self.worker == fingerprint(worker)
    }

    /// The sequence number of the event that the cursor stands behind.
    #[must_use]
    pub fn seq(self) -> u64 {
        self.seq
    }

    /// The checksum of the event that the cursor stands behind; 0 for the place before the first event.
    #[must_use]
    pub fn checksum(self) -> u32 {
        self.checksum
    }
}

/// FNV-1a over the id: it only has to tell apart the workers that one client may mix up.
fn fingerprint(worker: &WorkerId) -> u64 {
    worker
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:016x}{:016x}{:08x}", self.worker, self.seq, self.checksum)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digits = text.strip_prefix(PREFIX).ok_or(CursorError)?;
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != DIGITS || !digits.bytes().all(lower_hex) {
            return Err(CursorError);
        }
        let number = |range| u64::from_str_radix(&digits[range], 16).map_err(|_not_hex| CursorError);
        let checksum = u32::from_str_radix(&digits[32..], 16).map_err(|_not_hex| CursorError)?;
        Ok(Self { worker: number(0..16)?, seq: number(16..32)?, checksum })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^wo_[0-9a-f]+$",
            "description": "An opaque place in one worker's log. Store it, give it back, never parse it.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_is_bound_to_its_worker() {
        let ours: WorkerId = "wrk_1".parse().unwrap();
        let other: WorkerId = "wrk_2".parse().unwrap();
        let cursor = Cursor::new(&ours, u64::MAX, 0xdead_beef);
        let read: Cursor = cursor.to_string().parse().unwrap();
        assert_eq!((read, read.is_of(&ours), read.is_of(&other)), (cursor, true, false));
    }

    #[test]
    fn other_texts_are_refused() {
        let good = Cursor::new(&"wrk_1".parse().unwrap(), 7, 1).to_string();
        let upper = format!("wo_{}", good[3..].to_uppercase());
        for text in [
            "",
            "wo_",
            "7",
            "wo_zz",
            &good[1..],
            &good[..good.len() - 1],
            upper.as_str(),
            &format!("{good}0"),
            "wo_+000000000000007000000000000000100000002",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text:?}");
        }
    }
}
