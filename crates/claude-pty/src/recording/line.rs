//! The lines of a cassette.

use jiff::Timestamp;
use musher_process::Exit;
use serde::Serialize;

use super::{Cut, Track};

/// The number of the format: another one means that a reader of this one would misunderstand.
const FORMAT: u32 = 1;

/// Room for the program's version, which the program tells when the first line has long been written. It is three
/// numbers; one that does not fit is left out, and stands in the stream all the same.
const VERSION_ROOM: usize = 64;

/// The first line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Header {
    musher_cassette: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cli_version: Option<String>,
    args: Vec<String>,
    env_keys: Vec<String>,
    recorded_at: Timestamp,
}

/// Every other line.
#[derive(Debug, Default, Serialize)]
struct Entry<'a> {
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdin_bytes: Option<&'a [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_bytes: Option<&'a [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_bytes: Option<&'a [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<End>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct End {
    code: Option<i32>,
    signal: Option<i32>,
}

impl Header {
    /// The header of a session with these arguments and variables. An argument that is no UTF-8 is no argument of
    /// ours but for a path, of which the readable part says enough.
    pub(super) fn new(
        args: impl Iterator<Item = Vec<u8>>,
        env_keys: &[String],
        recorded_at: Timestamp,
    ) -> Self {
        let args = args.map(|arg| String::from_utf8_lossy(&arg).into_owned()).collect();
        Self { musher_cassette: FORMAT, cli_version: None, args, env_keys: env_keys.to_vec(), recorded_at }
    }

    /// The line, with spaces behind it in the place of what is not known yet.
    pub(super) fn line(&self) -> String {
        padded(json(self), VERSION_ROOM)
    }

    /// The line that takes the place of the first one once the version is known; none when it does not fit.
    pub(super) fn line_with(&self, cli_version: &str) -> Option<String> {
        let bare = json(self);
        let known = json(&Self { cli_version: Some(cli_version.to_owned()), ..self.clone() });
        let room = (bare.len() + VERSION_ROOM).checked_sub(known.len())?;
        Some(padded(known, room))
    }
}

/// Bytes of a stream: as text where they are some, else one by one.
pub(super) fn bytes(at_ms: u64, track: Track, bytes: &[u8]) -> String {
    let text = str::from_utf8(bytes).ok();
    let raw = text.is_none().then_some(bytes);
    let at = Entry { at_ms, ..Entry::default() };
    json(&match track {
        Track::Stdin => Entry { stdin: text, stdin_bytes: raw, ..at },
        Track::Stdout => Entry { stdout: text, stdout_bytes: raw, ..at },
        Track::Stderr => Entry { stderr: text, stderr_bytes: raw, ..at },
    })
}

pub(super) fn stdin_closed(at_ms: u64) -> String {
    json(&Entry { at_ms, closed: Some("stdin"), ..Entry::default() })
}

/// The last line of a whole cassette; both null when nobody knows.
pub(super) fn exit(at_ms: u64, exit: Option<Exit>) -> String {
    let end = End { code: exit.and_then(|exit| exit.code), signal: exit.and_then(|exit| exit.signal) };
    json(&Entry { at_ms, exit: Some(end), ..Entry::default() })
}

/// The last line of one that is not.
pub(super) fn cut(at_ms: u64, cut: Cut) -> String {
    json(&Entry { at_ms, cut: Some(cut.reason()), ..Entry::default() })
}

fn padded(mut line: String, room: usize) -> String {
    line.insert_str(line.len() - 1, &" ".repeat(room));
    line
}

fn json(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).expect("numbers and texts are JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_fits_into_the_first_line_or_is_left_out() {
        let header = Header::new(["-p".into(), "ä".into()].into_iter(), &[], Timestamp::UNIX_EPOCH);
        let bare = header.line();
        let known = header.line_with("2.1.329").unwrap();
        assert_eq!(known.len(), bare.len(), "what stands behind it stays");
        assert_eq!(
            (bare.trim_end(), known.trim_end()),
            (
                r#"{"musher_cassette":1,"args":["-p","ä"],"env_keys":[],"recorded_at":"1970-01-01T00:00:00Z"}"#,
                r#"{"musher_cassette":1,"cli_version":"2.1.329","args":["-p","ä"],"env_keys":[],"recorded_at":"1970-01-01T00:00:00Z"}"#,
            )
        );
        assert_eq!(header.line_with(&"9".repeat(VERSION_ROOM)), None);
    }
}
