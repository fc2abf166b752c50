//! Recorded sessions of Claude Code, as `musher record` writes them.
//!
//! A cassette is lines of JSON. The first says what was recorded: `{"musher_cassette": 1, "cli_version"?: "…",
//! "args": […], "env_keys": […], "recorded_at": "…"}`. Every other has the time in milliseconds since the beginning, `at_ms`, and
//! one of these:
//!
//! | Key | What happened |
//! |---|---|
//! | `stdin`, `stdout`, `stderr` | a line of that stream, with its line feed; the last one may lack it |
//! | `stdin_bytes`, `stdout_bytes`, `stderr_bytes` | the same, where it is no UTF-8: a list of numbers |
//! | `closed` | `"stdin"`: nothing more is written to the program |
//! | `exit` | how the program ended: `{"code", "signal"}`; a whole cassette ends with it |
//! | `cut` | why the recording ends before the session does |

use std::{error::Error, fmt};

use serde_json::Value;

/// The number of the format that this reads.
const FORMAT: u64 = 1;

/// A recorded session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cassette {
    /// The program's arguments.
    pub args: Vec<String>,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// What it was.
    pub what: What,
}

/// What happened in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This was written to the program.
    Stdin(Vec<u8>),
    /// The program wrote this.
    Stdout(Vec<u8>),
    /// The program complained with this.
    Stderr(Vec<u8>),
    /// Nothing more is written to the program.
    StdinClosed,
    /// The program ended; both are `None` where nobody knows how.
    Exit {
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// The recording ends here, the session went on.
    Cut(String),
}

/// A text that is no cassette.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoCassette {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl Cassette {
    /// Reads a cassette.
    ///
    /// # Errors
    ///
    /// When a line is not what a recorder writes.
    pub fn read(text: &str) -> Result<Self, NoCassette> {
        let mut lines = (1..).zip(text.lines());
        let wrong = |line: usize, why: &str| NoCassette { line, why: why.to_owned() };
        let json = |(number, line): (usize, &str)| match serde_json::from_str::<Value>(line) {
            Ok(value) => Ok((number, value)),
            Err(error) => Err(NoCassette { line: number, why: error.to_string() }),
        };
        let (_, header) = lines.next().map(json).ok_or_else(|| wrong(1, "the header is missing"))??;
        if header["musher_cassette"] != FORMAT {
            return Err(wrong(1, "`musher_cassette` is not 1"));
        }
        let args = header["args"].as_array().into_iter().flatten();
        let args = args.map(|arg| arg.as_str().map(str::to_owned)).collect::<Option<_>>();
        let args = args.ok_or_else(|| wrong(1, "`args` are texts"))?;
        let mut entries: Vec<Entry> = Vec::new();
        for line in lines {
            if entries.last().is_some_and(|last| last.what.is_end()) {
                return Err(wrong(line.0, "nothing comes behind the end"));
            }
            let (number, value) = json(line)?;
            entries.push(entry(&value).ok_or_else(|| wrong(number, "this is no entry"))?);
        }
        Ok(Self { args, entries })
    }

    /// How the recorded program was told its session: the value of `--session-id` or `--resume`.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.args.iter().find_map(|arg| session_id(arg))
    }
}

/// The session's id in an argument that has it.
pub(crate) fn session_id(arg: &str) -> Option<&str> {
    arg.strip_prefix("--session-id=").or_else(|| arg.strip_prefix("--resume="))
}

impl What {
    /// Whether a cassette ends with it.
    fn is_end(&self) -> bool {
        match self {
            Self::Exit { .. } | Self::Cut(_) => true,
            Self::Stdin(_) | Self::Stdout(_) | Self::Stderr(_) | Self::StdinClosed => false,
        }
    }
}

fn entry(value: &Value) -> Option<Entry> {
    let fields = value.as_object()?;
    let at_ms = fields.get("at_ms")?.as_u64()?;
    let (name, value) = fields.iter().find(|(name, _)| *name != "at_ms").filter(|_| fields.len() == 2)?;
    let number = |name: &str| {
        let number = value.get(name)?;
        if number.is_null() { Some(None) } else { Some(Some(i32::try_from(number.as_i64()?).ok()?)) }
    };
    let what = match name.as_str() {
        "stdin" | "stdin_bytes" => What::Stdin(bytes(value)?),
        "stdout" | "stdout_bytes" => What::Stdout(bytes(value)?),
        "stderr" | "stderr_bytes" => What::Stderr(bytes(value)?),
        "closed" if value == "stdin" => What::StdinClosed,
        "exit" => What::Exit { code: number("code")?, signal: number("signal")? },
        "cut" => What::Cut(value.as_str()?.to_owned()),
        _ => return None,
    };
    Some(Entry { at_ms, what })
}

/// A text, or bytes one by one.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    if let Some(text) = value.as_str() {
        return Some(text.as_bytes().to_vec());
    }
    value.as_array()?.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect()
}

impl fmt::Display for NoCassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the cassette: {}", self.line, self.why)
    }
}

impl Error for NoCassette {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"musher_cassette":1,"args":["-p","--resume=a"],"env_keys":[],"recorded_at":"2026-01-01T00:00:00Z"}"#;

    #[test]
    fn a_cassette_is_read_as_it_is_recorded() {
        let lines = [
            HEADER,
            r#"{"at_ms":0,"stdin":"a\n"}"#,
            r#"{"at_ms":1,"stdout_bytes":[255,10]}"#,
            r#"{"at_ms":1,"stderr":"oh"}"#,
            r#"{"at_ms":2,"closed":"stdin"}"#,
            r#"{"at_ms":3,"exit":{"code":null,"signal":9}}"#,
        ];
        let cassette = Cassette::read(&lines.join("\n")).unwrap();
        let expected = [
            (0, What::Stdin(b"a\n".to_vec())),
            (1, What::Stdout(b"\xff\n".to_vec())),
            (1, What::Stderr(b"oh".to_vec())),
            (2, What::StdinClosed),
            (3, What::Exit { code: None, signal: Some(9) }),
        ];
        assert_eq!(cassette.entries, expected.map(|(at_ms, what)| Entry { at_ms, what }));
        assert_eq!(cassette.session_id(), Some("a"));
    }

    #[test]
    fn what_is_no_cassette_is_refused_with_its_line() {
        let exit = r#"{"at_ms":3,"exit":{"code":0,"signal":null}}"#;
        for (lines, line) in [
            (vec![], 1),
            (vec!["{}"], 1),
            (vec![r#"{"musher_cassette":2,"args":[]}"#], 1),
            (vec![HEADER, "x"], 2),
            (vec![HEADER, exit, exit], 3),
            (vec![HEADER, r#"{"at_ms":1}"#], 2),
            (vec![HEADER, r#"{"at_ms":1,"stdout":"a","stdin":"b"}"#], 2),
            (vec![HEADER, r#"{"at_ms":1,"stdout_bytes":[256]}"#], 2),
            (vec![HEADER, r#"{"at_ms":1,"closed":"stdout"}"#], 2),
        ] {
            assert_eq!(Cassette::read(&lines.join("\n")).unwrap_err().line, line, "{lines:?}");
        }
    }
}
