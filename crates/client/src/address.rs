//! Where a server is.

use std::{net::IpAddr, path::PathBuf};

use reqwest::Url;

/// What comes before the path of a socket in the file system.
const UNIX: &str = "unix:";

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// What comes before each path; without a slash at the end.
    pub(crate) base: String,
    /// The socket in the file system that is connected to instead.
    pub(crate) unix: Option<PathBuf>,
    pub(crate) is_encrypted: bool,
    /// Whether it is on the machine itself. A proxy's loopback is not ours.
    pub(crate) is_here: bool,
}

impl Address {
    /// `http://…` and `https://…`, also with a path that a proxy serves it under, and `unix:PATH`. Nothing else of a URL
    /// has a meaning here, a password least of all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix(UNIX) {
            let unix = (!path.is_empty()).then(|| PathBuf::from(path))?;
            let base = "http://localhost".to_owned();
            return Some(Self { base, unix: Some(unix), is_encrypted: false, is_here: true });
        }
        // What is no URL is no address, whatever is wrong with it.
        let url = Url::parse(text).ok()?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let is_encrypted = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let is_here = is_here(url.host_str()?);
        let base = url.as_str().trim_end_matches('/').to_owned();
        is_plain.then_some(Self { base, unix: None, is_encrypted, is_here })
    }
}

/// The URL's parser writes an address of IPv6 in brackets, and names in lower case.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_url_or_a_socket() {
        let http = |base: &str, is_encrypted, is_here| {
            Some(Address { base: base.to_owned(), unix: None, is_encrypted, is_here })
        };
        for (text, expected) in [
            ("http://127.0.0.1:7717", http("http://127.0.0.1:7717", false, true)),
            ("http://LOCALHOST:7717/", http("http://localhost:7717", false, true)),
            ("http://[::1]:7717", http("http://[::1]:7717", false, true)),
            ("https://musher.example.org", http("https://musher.example.org", true, false)),
            ("https://example.org/musher/", http("https://example.org/musher", true, false)),
            ("http://localhost.example.org", http("http://localhost.example.org", false, false)),
            ("", None),
            ("127.0.0.1:7717", None),
            ("ftp://127.0.0.1", None),
            ("http://ann:secret@127.0.0.1", None),
            ("http://127.0.0.1/?token=secret", None),
            ("http://127.0.0.1/#here", None),
            ("unix:", None),
        ] {
            assert_eq!(Address::parse(text), expected, "{text:?}");
        }
        let socket = Address::parse("unix:/run/musher.sock").unwrap();
        assert_eq!(
            (socket.base.as_str(), socket.unix),
            ("http://localhost", Some("/run/musher.sock".into()))
        );
    }
}
