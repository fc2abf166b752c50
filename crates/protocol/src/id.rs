//! Identifiers: distinct types, checked once where text comes in, cheap to clone.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::AttentionKind;

/// Long enough for every id that the project mints, short enough for a log line and a path segment.
const MAX_ID: usize = 128;
/// The longest `Idempotency-Key` that is accepted, which may serve as an [`InputId`].
const MAX_INPUT_ID: usize = 255;

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text has no characters.
    #[error("an id must not be empty")]
    Empty,
    /// The text is longer than the grammar allows.
    #[error("an id has at most {0} characters")]
    TooLong(usize),
    /// The text holds a character that the grammar does not allow.
    #[error("an id holds only {0}")]
    Character(&'static str),
    /// The text begins with a character that may only follow.
    #[error("an id begins with a letter or a digit")]
    Start,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:ident, $pattern:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

macro_rules! minted {
    ($name:ident, $prefix:literal) => {
        impl $name {
            /// Mints a new id: the prefix and a UUIDv7 in lower hex, so that ids sort by their age.
            #[must_use]
            pub fn mint() -> Self {
                Self(format!(concat!($prefix, "_{}"), Uuid::now_v7().simple()).into())
            }
        }
    };
}

const PLAIN: &str = "^[A-Za-z0-9._:-]{1,128}$";
pub(crate) const NAMED: &str = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";
const VISIBLE: &str = "^[!-~]{1,255}$";

id!(/** A worker: durable, never reused. */ WorkerId, check_plain, PLAIN);
id!(/** A runtime: one catalog of workers with one store. */ RuntimeId, check_plain, PLAIN);
id!(/** A turn of a worker. */ TurnId, check_plain, PLAIN);
id!(/** An event; unique over the runtime, the same in logs, acks and replays. */ EventId, check_plain, PLAIN);
id!(/** An approval that a worker waits for. */ ApprovalId, check_plain, PLAIN);
id!(/** One HTTP request, for finding it in the server's log. */ RequestId, check_plain, PLAIN);
id!(/** A config bundle, or a revision of one: never what could be a path, an option or a hidden file. */ ConfigBundleId, check_named, NAMED);
id!(/** An input; the client's own id for it, or the `Idempotency-Key` of its request. */ InputId, check_visible, VISIBLE);
id!(/** The `Idempotency-Key` of a request: a repeat of the request under it is answered as the first one was. */ IdempotencyKey, check_visible, VISIBLE);
id!(/** Something that waits for a person. */ AttentionId, check_visible, VISIBLE);
id!(/** A tool call, as the vendor names it. */ ToolCallId, check_visible, VISIBLE);
id!(/** A session, as the backend names it. */ SessionId, check_visible, VISIBLE);

minted!(WorkerId, "wrk");
minted!(RuntimeId, "rt");
minted!(TurnId, "trn");
minted!(EventId, "evt");
minted!(ApprovalId, "apr");
minted!(RequestId, "req");
minted!(InputId, "inp");

impl EventId {
    /// The id of a snapshot, which is no event of the log: it is named after the cursor it was taken at.
    #[must_use]
    pub fn of_snapshot(cursor: crate::Cursor) -> Self {
        Self(format!("snapshot:{cursor}").into())
    }
}

impl AttentionId {
    /// The item of this kind about that: one and the same for as long as it is open.
    #[must_use]
    pub fn of(kind: AttentionKind, subject: &str) -> Self {
        Self(format!("att_{}_{subject}", kind.name()).into())
    }
}

impl InputId {
    /// The input that a task worker starts with: its objective has the worker's own id.
    #[must_use]
    pub fn of_objective(worker: &WorkerId) -> Self {
        Self(worker.as_str().into())
    }
}

fn check_plain(text: &str) -> Result<(), IdError> {
    check_length(text, MAX_ID)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    if text.bytes().all(plain) { Ok(()) } else { Err(IdError::Character("letters, digits and . _ : -")) }
}

fn check_named(text: &str) -> Result<(), IdError> {
    check_plain(text)?;
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) { Ok(()) } else { Err(IdError::Start) }
}

fn check_visible(text: &str) -> Result<(), IdError> {
    check_length(text, MAX_INPUT_ID)?;
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(IdError::Character("visible ASCII characters"))
    }
}

fn check_length(text: &str, max: usize) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty),
        n if n > max => Err(IdError::TooLong(max)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_of_ids() {
        let long = "a".repeat(129);
        let cases = [
            ("wrk_018f", Ok(())),
            ("A.b_c:d-e", Ok(())),
            ("", Err(IdError::Empty)),
            (long.as_str(), Err(IdError::TooLong(128))),
            ("../etc", Err(IdError::Character("letters, digits and . _ : -"))),
            ("wrk 1", Err(IdError::Character("letters, digits and . _ : -"))),
            ("wrk_é", Err(IdError::Character("letters, digits and . _ : -"))),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<WorkerId>().map(drop), expected, "{text:?}");
        }
        assert_eq!("a b".parse::<InputId>().map(drop), Err(IdError::Character("visible ASCII characters")));
        assert_eq!("/[x]{y}".parse::<InputId>().map(drop), Ok(()));
    }

    #[test]
    fn minted_ids_are_prefixed_hex_and_sort_by_age() {
        let first = WorkerId::mint();
        let second = WorkerId::mint();
        assert!(first < second);
        let hex = first.as_str().strip_prefix("wrk_").expect("the prefix");
        assert_eq!(hex.len(), 32);
        assert!(hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    }
}
