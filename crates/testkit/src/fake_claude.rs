//! A program in the place of Claude Code: the binary `musher-fake-claude`.
//!
//! It talks as the real one does, over stdin and stdout, and takes its arguments. With a cassette it plays that
//! ([`CASSETTE`]); without one it does what a prompt says:
//!
//! | Marker | What it does |
//! |---|---|
//! | none | says the text `FAKE-OK: ` and the first 40 characters of the prompt |
//! | `text:TEXT` | says this text |
//! | `slow:N,MS` | says N words, with MS milliseconds after each |
//! | `bash:COMMAND` | asks for leave, calls `Bash` without running anything, then says `FAKE-DONE bash` |
//! | `big:BYTES` | says one text of this length |
//! | `hang` | begins the turn and says nothing |
//! | `crash` | says half a sentence and kills itself |
//! | `exit:CODE` | complains on stderr and exits |
//! | `child` | leaves a process in the background that lives for an hour, then says a text |
//!
//! What it is told is checked either way. Whatever does not fit ends it with [`MISFIT`] and a sentence on stderr.

mod actor;
mod player;
mod shape;
mod speech;
mod stdin;

use std::{
    env, fs,
    io::{self, Write as _},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use rustix::process::{Signal, getpid, kill_process};

use self::{
    actor::{Act, Actor},
    player::{Play, Player},
    stdin::{Heard, Stdin},
};
use crate::cassette::Cassette;

/// The variable by which tests find the built program.
pub const PROGRAM: &str = "MUSHER_TEST_FAKE_CLAUDE";

/// The variable that names the cassette to play.
pub const CASSETTE: &str = "MUSHER_FAKE_CASSETTE";

/// The variable that says how long to wait where the recorded program took its time: 1 is as long as it did, 0 (the
/// default) not at all.
pub const PACE: &str = "MUSHER_FAKE_PACE";

/// The exit code of a fake that was told what it should not have been told.
pub const MISFIT: u8 = 70;

/// Longer than whoever plays a cassette needs for its next line on a busy machine; it has hung, or waits for
/// something that the cassette does not have.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the fake gives up.
#[derive(Debug)]
struct Misfit(String);

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let ran = match env::var_os(CASSETTE) {
        Some(file) => read(&file).and_then(|cassette| play(&cassette)),
        None => act(),
    };
    ran.unwrap_or_else(|Misfit(why)| {
        eprintln!("musher-fake-claude: {why}");
        ExitCode::from(MISFIT)
    })
}

fn read(file: &std::ffi::OsStr) -> Result<Cassette, Misfit> {
    let text =
        fs::read_to_string(file).map_err(|error| Misfit(format!("read {}: {error}", file.display())))?;
    Cassette::read(&text).map_err(|error| Misfit(error.to_string()))
}

/// Plays a cassette to its end.
fn play(cassette: &Cassette) -> Result<ExitCode, Misfit> {
    let pace = match env::var(PACE) {
        Ok(pace) => {
            let factor = pace.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 0.0);
            factor.ok_or_else(|| Misfit(format!("{PACE} is a factor, not `{pace}`")))?
        }
        Err(_absent) => 0.0,
    };
    let mut player = Player::new(cassette, &env::args().skip(1).collect::<Vec<_>>())?;
    let mut stdin = Stdin::open();
    let mut last_at = 0;
    for (number, entry) in (2..).zip(&cassette.entries) {
        let gap = Duration::from_millis(entry.at_ms.saturating_sub(last_at));
        last_at = entry.at_ms;
        let misfit = |why: String| Misfit(format!("line {number} of the cassette: {why}"));
        match player.play(&entry.what) {
            Play::Hear(recorded) => {
                let heard = stdin.hear(PATIENCE);
                player.heard(recorded, &heard).map_err(misfit)?;
            }
            Play::Write(bytes) => {
                std::thread::sleep(gap.mul_f64(pace));
                say(&bytes)?;
            }
            Play::Complain(bytes) => {
                // Nobody may read it, as nobody may have read the real one.
                let _unread = io::stderr().write_all(&bytes);
            }
            Play::Exit(code) => return Ok(ExitCode::from(code)),
            Play::Signal(signal) => return Err(die(signal)),
            Play::Misfit(why) => return Err(misfit(why)),
            Play::Nothing => {}
        }
    }
    Err(Misfit("the cassette has no end".to_owned()))
}

/// Does what prompts say until the input ends.
fn act() -> Result<ExitCode, Misfit> {
    let mut actor = Actor::new(&env::args().skip(1).collect::<Vec<_>>())?;
    let mut stdin = Stdin::open();
    loop {
        let heard = match actor.next() {
            Some(Act::Say(line)) => {
                say(line.as_bytes())?;
                continue;
            }
            Some(Act::Pause(time)) => stdin.hear_until(Instant::now() + time),
            Some(Act::Crash) => return Err(die(Signal::KILL.as_raw())),
            Some(Act::Exit(code)) => {
                eprintln!("Error: the prompt says so");
                return Ok(ExitCode::from(code));
            }
            Some(Act::LeaveChild) => {
                leave_child()?;
                continue;
            }
            // It is told what to do next, or its input ends: whoever holds the other end has to do either.
            None => stdin.wait(),
        };
        match heard {
            Heard::Line(line) => actor.hear(&line)?,
            Heard::Nothing => {}
            Heard::End if actor.is_idle() => return Ok(ExitCode::SUCCESS),
            Heard::End => return Err(Misfit("the input ends in the middle of a turn".to_owned())),
            Heard::TooLong => return Err(Misfit("a line is longer than anybody writes".to_owned())),
        }
    }
}

fn say(bytes: &[u8]) -> Result<(), Misfit> {
    let mut stdout = io::stdout().lock();
    let said = stdout.write_all(bytes).and_then(|()| stdout.flush());
    said.map_err(|error| Misfit(format!("write to stdout: {error}")))
}

/// Ends this process by a signal; returns only when that fails.
fn die(signal: i32) -> Misfit {
    let killed = Signal::from_named_raw(signal).map(|signal| kill_process(getpid(), signal));
    // A signal that this process ignores, or does not know, cannot end it as it ended the recorded one.
    Misfit(format!("signal {signal} does not end this process: {killed:?}"))
}

/// Starts a process that nobody waits for.
fn leave_child() -> Result<(), Misfit> {
    let child = Command::new("sleep").arg("3600").spawn();
    child.map(drop).map_err(|error| Misfit(format!("start `sleep`: {error}")))
}
