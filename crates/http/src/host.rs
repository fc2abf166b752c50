//! The names that a server answers for: the wall against pages that rebind their own name to this machine.

use std::{net::Ipv6Addr, str::FromStr};

/// A name that the server answers for, with one port or with any: `musher.internal`, `musher.internal:8443`,
/// `192.0.2.7`, `[2001:db8::7]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(Host);

/// The text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host: expected a name or an address in ASCII, with a port or without")]
pub struct HostError;

/// A host as requests name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// In lower case, without the dot of the root. An IPv4 address is a name too: only its one usual form is
    /// ever allowed.
    Ascii(String),
    V6(Ipv6Addr),
}

impl AllowedHost {
    fn admits(&self, host: &Host) -> bool {
        self.0.name == host.name && self.0.port.is_none_or(|port| host.port == Some(port))
    }
}

impl FromStr for AllowedHost {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        text.parse().map(Self)
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(HostError)?;
                let Ok(address) = address.parse() else { return Err(HostError) };
                (Name::V6(address), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Name::Ascii(ascii(name)?), port)
            }
        };
        Ok(Self { name, port: read_port(port)? })
    }
}

impl Host {
    /// Whether requests for this host are answered.
    pub(crate) fn is_answered(&self, allowed: &[AllowedHost]) -> bool {
        let is_loopback = match &self.name {
            Name::Ascii(name) => name == "127.0.0.1" || name == "localhost",
            Name::V6(address) => *address == Ipv6Addr::LOCALHOST,
        };
        is_loopback || allowed.iter().any(|allowed| allowed.admits(self))
    }
}

fn ascii(name: &str) -> Result<String, HostError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.starts_with('.') || name.ends_with('.') || !name.bytes().all(plain) {
        return Err(HostError);
    }
    Ok(name.to_ascii_lowercase())
}

fn read_port(text: &str) -> Result<Option<u16>, HostError> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(':').ok_or(HostError)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HostError);
    }
    let Ok(port) = digits.parse() else { return Err(HostError) };
    Ok(Some(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_hosts_are_answered() {
        let allowed: Vec<AllowedHost> = ["Musher.Internal", "port.internal:8443", "[2001:db8::7]"]
            .map(|text| text.parse().unwrap())
            .into();
        let cases = [
            ("127.0.0.1", true),
            ("127.0.0.1:7717", true),
            ("localhost:1", true),
            ("LocalHost.", true),
            ("localhost.:80", true),
            ("[::1]", true),
            ("[::1]:7717", true),
            ("[0:0:0:0:0:0:0:1]:7717", true),
            ("musher.internal:1", true),
            ("MUSHER.internal.", true),
            ("port.internal:8443", true),
            ("[2001:db8:0::7]:9", true),
            ("port.internal", false),
            ("port.internal:8444", false),
            ("musher.internal.evil.example", false),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.2", false),
            ("127.1", false),
            ("0x7f.1", false),
            ("2130706433", false),
            ("0.0.0.0", false),
            ("[::]", false),
            ("[::ffff:127.0.0.1]", false),
        ];
        for (text, expected) in cases {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.is_answered(&allowed), expected, "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_no_hosts() {
        for text in [
            "",
            ".",
            "localhost..",
            ".localhost",
            "localhost:",
            "localhost:+1",
            "localhost:65536",
            "localhost:1:2",
            "user@localhost",
            "localhost/",
            "local host",
            "localhost, evil.example",
            "::1",
            "[::1",
            "[::1]x",
            "[::1%lo]",
            "löcalhost",
            "http://localhost",
        ] {
            assert_eq!(text.parse::<Host>(), Err(HostError), "{text:?}");
        }
    }
}
