//! What is recorded, line for line. Pure: pieces of streams go in, lines of a cassette come out.

use musher_backend::Secrets;

use super::{
    Cut, Taken, Track,
    line::{self, Header},
    pieces::{Line, Pieces},
};
use crate::framing::MAX_LINE;

/// The longest cassette. A day's work is a tenth of it; a session that was left on must not fill the disk.
const MAX_LENGTH: usize = 64 * 1024 * 1024;

/// The program's version, which its stream tells once.
#[derive(Debug, PartialEq, Eq)]
enum Version {
    Unknown,
    Known(String),
    /// It stands in the header.
    Told,
}

/// How the program calls it.
const VERSION_KEY: &str = "claude_code_version";

/// A cassette as far as it is recorded.
#[derive(Debug)]
pub(super) struct Tape {
    secrets: Secrets,
    /// Of each stream what came behind its last line feed: a secret may be cut anywhere but there.
    stdin: Vec<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Whole lines, until it is known that they hold no piece of a secret.
    pieces: Pieces,
    at_ms: u64,
    length: usize,
    version: Version,
    end: Option<Option<Cut>>,
}

impl Tape {
    pub(super) fn new(secrets: Secrets) -> Self {
        let (stdin, stdout, stderr, pieces) = Default::default();
        let version = Version::Unknown;
        Self { secrets, stdin, stdout, stderr, pieces, at_ms: 0, length: 0, version, end: None }
    }

    /// The first line.
    pub(super) fn begin(&mut self, header: &Header) -> String {
        let first = header.line();
        self.length = first.len();
        first
    }

    /// The program's version, the first time after it is known.
    pub(super) fn version(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.version, Version::Told) {
            Version::Known(version) => Some(version),
            unchanged @ (Version::Unknown | Version::Told) => {
                self.version = unchanged;
                None
            }
        }
    }

    /// Whether nothing more comes, and why when that is too early.
    pub(super) fn over(&self) -> Option<Option<Cut>> {
        self.end
    }

    /// Adds the lines that are complete with this.
    pub(super) fn take(&mut self, at_ms: u64, taken: Taken, text: &mut String) {
        if self.end.is_some() {
            return;
        }
        self.at_ms = at_ms;
        match taken {
            Taken::Bytes(track, bytes) => self.bytes(track, &bytes, text),
            Taken::StdinClosed => {
                self.rest(Track::Stdin, text);
                self.add(Line::Whole(line::stdin_closed(at_ms)), text);
            }
            Taken::Over(exit) => {
                for track in [Track::Stdin, Track::Stdout, Track::Stderr] {
                    self.rest(track, text);
                }
                self.pieces.break_off(&self.secrets);
                self.add(Line::Whole(line::exit(at_ms, exit)), text);
                self.end = self.end.or(Some(None));
            }
        }
    }

    /// Ends the cassette here. What is not complete is left out: nobody knows how it would have gone on.
    pub(super) fn cut(&mut self, cut: Cut, text: &mut String) {
        self.pieces.break_off(&self.secrets);
        self.write(text);
        self.end_with(cut, text);
    }

    fn end_with(&mut self, cut: Cut, text: &mut String) {
        if self.end.is_none() {
            text.push_str(&line::cut(self.at_ms, cut));
            self.end = Some(Some(cut));
        }
    }

    fn bytes(&mut self, track: Track, bytes: &[u8], text: &mut String) {
        let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            self.waiting(track).extend_from_slice(bytes);
            if self.waiting(track).len() > MAX_LINE {
                self.cut(Cut::LineTooLong, text);
            }
            return;
        };
        let (whole, rest) = bytes.split_at(last + 1);
        let mut lines = std::mem::replace(self.waiting(track), rest.to_vec());
        lines.extend_from_slice(whole);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.version == Version::Unknown && track == Track::Stdout {
                self.version = version_in(line).map_or(Version::Unknown, Version::Known);
            }
            let at_ms = self.at_ms;
            let line = match track {
                Track::Stdout => Line::Said { at_ms, bytes: line.to_vec() },
                Track::Stdin | Track::Stderr => {
                    Line::Whole(line::bytes(at_ms, track, &self.secrets.redact(line)))
                }
            };
            self.add(line, text);
        }
    }

    /// What a stream ends with, where it is no whole line.
    fn rest(&mut self, track: Track, text: &mut String) {
        let rest = std::mem::take(self.waiting(track));
        if !rest.is_empty() {
            let line = line::bytes(self.at_ms, track, &self.secrets.redact_broken(&rest));
            self.add(Line::Whole(line), text);
        }
    }

    fn add(&mut self, line: Line, text: &mut String) {
        self.pieces.push(line, &self.secrets);
        self.write(text);
    }

    /// Writes down what waits no more.
    fn write(&mut self, text: &mut String) {
        while self.end.is_none()
            && let Some(line) = self.pieces.pop()
        {
            let line = match line {
                Line::Said { at_ms, bytes } => {
                    line::bytes(at_ms, Track::Stdout, &self.secrets.redact(&bytes))
                }
                Line::Whole(line) => line,
            };
            self.length += line.len();
            if self.length > MAX_LENGTH {
                self.end_with(Cut::Full, text);
            } else {
                text.push_str(&line);
            }
        }
    }

    fn waiting(&mut self, track: Track) -> &mut Vec<u8> {
        match track {
            Track::Stdin => &mut self.stdin,
            Track::Stdout => &mut self.stdout,
            Track::Stderr => &mut self.stderr,
        }
    }
}

/// The version in a line that tells it.
fn version_in(line: &[u8]) -> Option<String> {
    // Most lines do not, and need not be read.
    let line = str::from_utf8(line).ok().filter(|line| line.contains(VERSION_KEY))?;
    let said: serde_json::Value = serde_json::from_str(line).ok()?;
    said[VERSION_KEY].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use musher_process::Exit;

    use super::*;

    fn tape() -> Tape {
        Tape::new(Secrets::of([("A_KEY", OsStr::new("sk-ant-12345"))].into_iter()))
    }

    fn check(taken: Vec<Taken>, expected: &[&str]) {
        let (mut tape, mut text) = (tape(), String::new());
        for (at_ms, taken) in (0..).zip(taken) {
            tape.take(at_ms, taken, &mut text);
        }
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    fn out(bytes: &[u8]) -> Taken {
        Taken::Bytes(Track::Stdout, bytes.to_vec())
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let stdin = Taken::Bytes(Track::Stdin, b"ask\n".to_vec());
        let exit = Taken::Over(Some(Exit { code: Some(0), signal: None }));
        check(
            vec![out(b"a\nb"), stdin, out(b"c\nd\n"), out(b"e"), Taken::StdinClosed, exit],
            &[
                r#"{"at_ms":0,"stdout":"a\n"}"#,
                r#"{"at_ms":1,"stdin":"ask\n"}"#,
                r#"{"at_ms":2,"stdout":"bc\n"}"#,
                r#"{"at_ms":2,"stdout":"d\n"}"#,
                r#"{"at_ms":4,"closed":"stdin"}"#,
                r#"{"at_ms":5,"stdout":"e"}"#,
                r#"{"at_ms":5,"exit":{"code":0,"signal":null}}"#,
            ],
        );
    }

    #[test]
    fn what_is_no_text_is_kept_byte_for_byte() {
        check(vec![out(b"\xff\x00\n")], &[r#"{"at_ms":0,"stdout_bytes":[255,0,10]}"#]);
        // A character that is cut on the way is whole in its line.
        check(vec![out(b"\xc3"), out(b"\xa9\n")], &[r#"{"at_ms":1,"stdout":"é\n"}"#]);
    }

    #[test]
    fn a_secret_that_comes_in_pieces_is_hidden() {
        check(vec![out(b"x sk-an"), out(b"t-12345\n")], &[r#"{"at_ms":1,"stdout":"x [A_KEY]\n"}"#]);
        check(
            vec![out(b"x sk-an"), Taken::Over(None)],
            &[r#"{"at_ms":1,"stdout":"x [A_KEY]"}"#, r#"{"at_ms":1,"exit":{"code":null,"signal":null}}"#],
        );
    }

    #[test]
    fn what_waits_for_the_rest_of_a_secret_is_written_in_its_order_at_the_end() {
        let delta = |text: &str| {
            let delta = serde_json::json!({ "type": "stream_event", "event": {
                "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } } });
            out(format!("{delta}\n").as_bytes())
        };
        let (mut tape, mut text) = (tape(), String::new());
        tape.take(0, delta("x sk-ant"), &mut text);
        tape.take(1, Taken::Bytes(Track::Stdin, b"meanwhile\n".to_vec()), &mut text);
        assert_eq!(text, "", "it may be a secret");
        tape.cut(Cut::Behind, &mut text);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said: serde_json::Value = serde_json::from_str(lines[0]["stdout"].as_str().unwrap()).unwrap();
        assert_eq!((&lines[0]["at_ms"], &said["event"]["delta"]["text"]), (&0.into(), &"x [A_KEY]".into()));
        assert_eq!((&lines[1]["at_ms"], &lines[1]["stdin"]), (&1.into(), &"meanwhile\n".into()));
        assert_eq!((lines.len(), &lines[2]["cut"]), (3, &"the disk was slower than the session".into()));
    }

    #[test]
    fn a_cassette_that_is_full_says_so_and_takes_no_more() {
        let (mut tape, mut text) = (Tape::new(Secrets::of(std::iter::empty())), String::new());
        let mut line = vec![b'x'; MAX_LINE / 2];
        line.push(b'\n');
        for _ in 0..MAX_LENGTH / line.len() + 2 {
            tape.take(7, out(&line), &mut text);
        }
        tape.take(8, Taken::Over(None), &mut text);
        assert!(text.len() < MAX_LENGTH + 100, "{}", text.len());
        assert_eq!(text.lines().last(), Some(r#"{"at_ms":7,"cut":"it is as long as it may be"}"#));
        assert_eq!(tape.over(), Some(Some(Cut::Full)));
    }

    #[test]
    fn the_version_is_read_once_where_the_program_tells_it() {
        let (mut tape, mut text) = (tape(), String::new());
        let told = |version: &str| format!("{{\"claude_code_version\":{version}}}\n").into_bytes();
        tape.take(0, Taken::Bytes(Track::Stdin, told("\"1\"")), &mut text);
        tape.take(0, out(&told("7")), &mut text);
        assert_eq!(tape.version(), None, "neither the program's nor a text");
        tape.take(0, out(&told("\"2.1.329\"")), &mut text);
        tape.take(0, out(&told("\"3\"")), &mut text);
        assert_eq!((tape.version().as_deref(), tape.version()), (Some("2.1.329"), None));
        tape.take(0, out(&told("\"3\"")), &mut text);
        assert_eq!(tape.version(), None);
    }

    #[test]
    fn a_line_without_end_cuts_the_cassette() {
        let (mut tape, mut text) = (tape(), String::new());
        for _ in 0..3 {
            tape.take(7, out(&vec![b'x'; MAX_LINE / 2]), &mut text);
        }
        tape.take(8, out(b"\nmore\n"), &mut text);
        assert_eq!(text, "{\"at_ms\":7,\"cut\":\"a line is too long\"}\n");
    }
}
