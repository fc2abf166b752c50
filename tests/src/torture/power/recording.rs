//! Runs of the real server under strace: its files and its words to clients, as one trace over several lives.

mod load;

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use self::load::Load;
use super::{
    blind::Blind,
    content::Content,
    disk::{Entry, Image},
    promise::Promise,
    step::{self, Act, SYSTEM_CALLS, Step},
    strace::{self, NEVER},
};
use crate::Home;

/// Servers that a power loss ends one after the other keep everything in their own directory.
pub(in crate::torture) const CONFIG: &str = "[store]
url = \"sqlite:store\"
[runtime]
default_profile = \"echo\"
[profiles.slow]
backend = \"scripted\"
script = \"echo\"
word_delay_ms = 2
[profiles.hang]
backend = \"scripted\"
script = \"hang.json\"
";
/// Its turns have begun and never end by themselves, so that a loss of power finds them open.
pub(in crate::torture) const HANG: &str =
    r#"{"turns": [{"match": "", "steps": [{"text": "and then"}, {"hang": true}]}]}"#;
/// Longer than anything that a short load writes at once; what strace cut would be refused.
const LONGEST_STRING: &str = "8388608";
/// The lines before are for what was there before.
const FIRST_LINE: usize = 10;
/// A kill may come within a write, which leaves the next life's files unknown. That is rare; twice in a row is rarer.
const ATTEMPTS: usize = 5;

/// A kept recording's directory before the first life.
const BASE: &str = "base";
/// Where a kept recording says which directory it is of.
const ROOT: &str = "root";

/// How a recording is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    /// Another build of the server, and the bug that is planted in it.
    pub(super) planted: Option<(PathBuf, &'static str)>,
    /// Whether syncs do nothing and say that they succeeded.
    pub(super) syncs_are_skipped: bool,
}

/// A recorded run.
#[derive(Debug)]
pub(super) struct Recording {
    root: PathBuf,
    base: Image,
    /// One trace for each life of the server.
    lives: Vec<String>,
    /// What the clients themselves saw.
    witnessed: Vec<Promise>,
}

/// How a life of a recorded server ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Terminated,
}

impl Recording {
    /// Runs the server through three lives under load.
    pub(super) async fn make(manner: &Manner) -> (Self, Vec<Step>) {
        let mut refused = None;
        for _ in 0..ATTEMPTS {
            let recording = Self::attempt(manner).await;
            match recording.steps() {
                Ok(steps) => return (recording, steps),
                Err(blind) => refused = Some(blind),
            }
        }
        panic!("{}", refused.expect("there is an attempt"));
    }

    async fn attempt(manner: &Manner) -> Self {
        let home = home(manner);
        let base = image(home.path()).unwrap();
        let traces = tempfile::tempdir().unwrap();
        let (mut lives, mut load) = (Vec::new(), Load::default());
        // A start after a kill recovers, one after a good end does not; both move the log into the database.
        for (life, end) in [End::Killed, End::Terminated, End::Killed].into_iter().enumerate() {
            let file = traces.path().join(life.to_string());
            let server = home.start_under(&wrapper(&file, manner)).await;
            load.live(&server).await;
            match end {
                End::Killed => {
                    server.kill().await;
                }
                End::Terminated => assert_eq!(server.terminate().await.code, Some(0)),
            }
            load.end().await;
            lives.push(fs::read_to_string(file).unwrap());
        }
        Self { root: home.path().to_owned(), base, lives, witnessed: load.witnessed() }
    }

    /// What was there before the first life.
    pub(super) fn base(&self) -> &Image {
        &self.base
    }

    /// What the clients saw; nothing for a recording that was kept.
    pub(super) fn witnessed(&self) -> &[Promise] {
        &self.witnessed
    }

    /// Reads the traces of all lives as one.
    pub(super) fn steps(&self) -> Result<Vec<Step>, Blind> {
        let mut all: Vec<Step> = Vec::new();
        let mut first = FIRST_LINE;
        for life in &self.lives {
            if let Some(step) = all.iter().find(|step| is_half_done(step)) {
                return Err(Blind::new(step.span.start, "the server was killed within a write"));
            }
            all.extend(step::steps(&strace::read(life, first)?, &self.root)?);
            first += life.lines().count();
        }
        Ok(all)
    }

    /// Keeps it in a new directory, to be loaded again.
    pub(super) fn keep(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        lay_out(&self.base, &directory.join(BASE))?;
        fs::write(directory.join(ROOT), self.root.as_os_str().as_encoded_bytes())?;
        for (life, trace) in self.lives.iter().enumerate() {
            fs::write(directory.join(life.to_string()), trace)?;
        }
        Ok(())
    }

    /// Loads what was kept.
    pub(super) fn load(directory: &Path) -> io::Result<Self> {
        let lives =
            (0..).map(|life: usize| directory.join(life.to_string())).take_while(|file| file.exists());
        let lives = lives.map(fs::read_to_string).collect::<io::Result<_>>()?;
        let root = PathBuf::from(fs::read_to_string(directory.join(ROOT))?);
        Ok(Self { root, base: image(&directory.join(BASE))?, lives, witnessed: Vec::new() })
    }
}

/// A directory for servers, with all that the config names.
fn home(manner: &Manner) -> Home {
    let home = Home::new(CONFIG);
    fs::write(home.path().join("hang.json"), HANG).unwrap();
    match &manner.planted {
        Some((program, bug)) => home.program(program.clone()).env("MUSHER_PLANT", bug),
        None => home,
    }
}

fn wrapper(file: &Path, manner: &Manner) -> Vec<OsString> {
    let trace = format!("trace={SYSTEM_CALLS}");
    let words = ["strace", "-f", "-y", "-xx", "--seccomp-bpf", "-s", LONGEST_STRING, "-e", &trace, "-o"];
    let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    words.push(file.into());
    if manner.syncs_are_skipped {
        words.extend(["-e", "inject=fsync,fdatasync:retval=0"].map(OsString::from));
    }
    words
}

/// Whether a change to a file began and never ended, so that it may be there or not.
fn is_half_done(step: &Step) -> bool {
    step.span.end == NEVER
        && match &step.act {
            Act::Write { .. }
            | Act::Size { .. }
            | Act::Room { .. }
            | Act::Rename { .. }
            | Act::Link { .. }
            | Act::Remove { .. }
            | Act::MakeDirectory { .. } => true,
            Act::Open { .. }
            | Act::Seek { .. }
            | Act::Sync { .. }
            | Act::Shared { .. }
            | Act::Send { .. }
            | Act::Hangup { .. } => false,
        }
}

/// What is in a directory.
pub(in crate::torture) fn image(directory: &Path) -> io::Result<Image> {
    let mut image = Image::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            let name = path.strip_prefix(directory).map_err(io::Error::other)?.to_owned();
            if path.is_dir() {
                image.insert(name, Entry::Directory);
                waiting.push(path);
            } else {
                image.insert(name, Entry::File(Content::from(fs::read(&path)?.as_slice())));
            }
        }
    }
    Ok(image)
}

/// Makes a directory what an image says, over what is there.
pub(in crate::torture) fn lay_out(image: &Image, directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    fs::create_dir_all(directory)?;
    for (path, entry) in image {
        let path = directory.join(path);
        match entry {
            Entry::Directory => fs::create_dir_all(path)?,
            Entry::File(content) => {
                let mut options = fs::OpenOptions::new();
                // For its owner alone: a token that others can read would be refused.
                content.store(&options.write(true).create(true).truncate(true).mode(0o600).open(path)?)?;
            }
        }
    }
    Ok(())
}
