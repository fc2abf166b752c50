//! What a worker may do.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Long enough for the names that people give to servers, short enough for a table.
const MAX_SERVER: usize = 64;
/// What there is, for the schema.
pub(crate) const PATTERN: &str = "^(read|write|shell|network|mcp:[A-Za-z0-9_-]{1,64})$";

/// A named permission of a worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Reads files of its workspaces: `read`.
    Read,
    /// Changes files of its workspaces: `write`.
    Write,
    /// Runs commands, which can do whatever their user can: `shell`.
    Shell,
    /// Reaches the network through tools made for it: `network`.
    Network,
    /// Uses the MCP server of this name: `mcp:<server>`.
    Mcp(String),
}

/// Why a text is no capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no capability `{0}`; there are `read`, `write`, `shell`, `network` and `mcp:<server>`")]
pub struct CapabilityError(String);

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let is_server = |name: &str| {
            (1..=MAX_SERVER).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        match (text, text.strip_prefix("mcp:")) {
            ("read", _) => Ok(Self::Read),
            ("write", _) => Ok(Self::Write),
            ("shell", _) => Ok(Self::Shell),
            ("network", _) => Ok(Self::Network),
            (_, Some(server)) if is_server(server) => Ok(Self::Mcp(server.to_owned())),
            _ => Err(CapabilityError(text.chars().take(MAX_SERVER).collect())),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Write => f.write_str("write"),
            Self::Shell => f.write_str("shell"),
            Self::Network => f.write_str("network"),
            Self::Mcp(server) => write!(f, "mcp:{server}"),
        }
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Capability {
    fn schema_name() -> Cow<'static, str> {
        "Capability".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_read_as_it_is_written() {
        for text in ["read", "write", "shell", "network", "mcp:tickets", "mcp:a-b_C9"] {
            assert_eq!(text.parse::<Capability>().unwrap().to_string(), text);
        }
        let long = format!("mcp:{}", "a".repeat(65));
        for text in ["", "Read", "admin", "mcp:", "mcp:a b", "mcp:a:b", "mcp", "read ", &long] {
            assert!(text.parse::<Capability>().is_err(), "{text:?}");
        }
    }
}
