//! `musher demo`: a newcomer's first command, with and without somebody at a terminal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path, process::Stdio, time::Duration};

use musher_e2e::{Finished, PATIENCE, Process, Terminal, binary, musher};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    time::{sleep, timeout},
};

const PROMPT: &str = "end the turn > ";
/// How often to look again where there is no event.
const LOOK: Duration = Duration::from_millis(20);

/// A home of a newcomer, with a place for temporary files.
struct Newcomer(TempDir);

impl Newcomer {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("tmp")).unwrap();
        Self(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn terminal(&self) -> Terminal {
        let temporary = self.path().join("tmp");
        Terminal::musher_with(self.path(), &["demo"], &[("TMPDIR", temporary.as_os_str())])
    }

    fn command(&self) -> Command {
        let mut command = musher(self.path());
        command.arg("demo").env("TMPDIR", self.path().join("tmp")).current_dir(self.path());
        command
    }

    /// What the newcomer types after the demo.
    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        // In the place of the shell, so that a signal reaches it.
        shell.arg("-c").arg(format!("exec {command}")).env_clear().kill_on_drop(true);
        shell.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path());
        shell.env("MUSHER_LISTEN", "127.0.0.1:0").current_dir(self.path());
        shell
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// What is printed, without what differs from run to run.
    fn masked(&self, printed: &str) -> String {
        let temporary = self.path().join("tmp").display().to_string();
        let printed = printed.replace(&temporary, "/tmp").replace(binary().to_str().unwrap(), "musher");
        printed.lines().map(masked).collect()
    }
}

/// A line without counters, times, ids, ports and names of directories.
fn masked(line: &str) -> String {
    let mut line = line.rsplit("\u{1b}[2K").next().unwrap().to_owned();
    for (before, is_part) in [
        ("worker wrk_", (|char: char| char.is_ascii_hexdigit()) as fn(char) -> bool),
        ("127.0.0.1:", |char| char.is_ascii_digit()),
        ("/tmp/musher-", |char| char.is_ascii_alphanumeric()),
        ("(denied at ", |char| char != ')'),
        ("attempt 2 of 6 in ", |char| char.is_ascii_digit()),
    ] {
        if let Some(at) = line.find(before).map(|at| at + before.len()) {
            let rest = line[at..].trim_start_matches(is_part).to_owned();
            line = format!("{}N{rest}", &line[..at]);
        }
    }
    // A moment of the timeline.
    match line.split_once(" ms  ") {
        Some((moment, what)) if moment.trim().parse::<u64>().is_ok() => format!("N ms  {what}\n"),
        _ => line.trim_end().to_owned() + "\n",
    }
}

/// The transcript that the README shows.
fn readme() -> String {
    let readme = include_str!("../../README.md");
    let transcript =
        readme.split("```text\n$ musher demo\n").nth(1).and_then(|rest| rest.split("```").next());
    transcript.unwrap().lines().map(masked).collect()
}

#[test]
fn a_person_who_allows_the_command_sees_what_the_readme_shows() {
    let newcomer = Newcomer::new();
    let mut terminal = newcomer.terminal();
    let mut printed = terminal.until(PROMPT);
    terminal.types("y\n");
    let (code, rest) = terminal.ends();
    printed += &rest;
    assert_eq!(newcomer.masked(&printed), readme());
    assert_eq!((code, newcomer.left()), (0, Vec::new()));
}

#[tokio::test]
async fn where_nobody_can_be_asked_the_demo_decides_and_says_so() {
    let newcomer = Newcomer::new();
    // Whoever asks this proxy for the model waits for ever.
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = newcomer.command();
    let run =
        Finished::of(command.env("http_proxy", format!("http://{}", proxy.local_addr().unwrap()))).await;
    assert_eq!((run.code, newcomer.left()), (Some(0), Vec::new()), "{run:?}");
    assert_eq!(
        run.stderr,
        "  the demo's own rule allows `write_file` of team.txt\n  \
         nobody can be asked here, so the demo allows `shell`\ndone\n"
    );
    // All else is what a person sees who allows it.
    let mut expected = readme().replace("by the person at the terminal", "by the demo's rule");
    let end = "turn > y\n";
    let asked = expected.find("? may `shell`").unwrap()..expected.find(end).unwrap() + end.len();
    expected.replace_range(asked, "");
    for on_stderr in ["  the demo's own rule allows `write_file` of team.txt\n", "done\n"] {
        expected = expected.replace(on_stderr, "");
    }
    assert_eq!(newcomer.masked(&run.stdout), expected);
}

#[test]
fn a_denied_command_does_not_run_and_the_demo_has_an_end() {
    let newcomer = Newcomer::new();
    let mut terminal = newcomer.terminal();
    terminal.until(PROMPT);
    terminal.types("n\n");
    let (code, rest) = terminal.ends();
    let shown = newcomer.masked(&rest);
    for line in [
        "! not run, for it was denied: the user at the terminal denied it\n",
        "Nobody counted them, so I do not say how many they are.\n",
        "N ms  denied by the person at the terminal\n",
        "N ms  the turn is completed\n",
    ] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    assert_eq!((code, newcomer.left()), (0, Vec::new()), "{shown}");
}

#[test]
fn for_a_person_who_leaves_the_demo_decides() {
    let newcomer = Newcomer::new();
    let mut terminal = newcomer.terminal();
    terminal.until(PROMPT);
    terminal.types("\u{4}");
    let (code, rest) = terminal.ends();
    assert!(rest.contains("nobody can be asked here, so the demo allows `shell`"), "{rest}");
    assert!(rest.contains("The team has 4 dogs. Mush!"), "{rest}");
    assert_eq!((code, newcomer.left()), (0, Vec::new()), "{rest}");
}

#[test]
fn ctrl_c_leaves_no_process_and_no_file() {
    for moment in ["> Write the sled team", PROMPT] {
        let newcomer = Newcomer::new();
        let mut terminal = newcomer.terminal();
        let shown = terminal.until(moment);
        let worker = shown.split("worker ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        assert!(worker.starts_with("wrk_"), "{shown}");
        terminal.types("\u{3}");
        let (code, rest) = terminal.ends();
        assert!(rest.contains("interrupted\r\n") && !rest.contains("what happened"), "{rest}");
        assert_eq!((code, newcomer.left(), Process::of(&worker)), (130, Vec::new(), Vec::new()), "{rest}");
    }
}

#[tokio::test]
async fn a_demo_that_is_killed_leaves_nothing_either() {
    let newcomer = Newcomer::new();
    let mut demo = newcomer.command().stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let begun = timeout(PATIENCE, async {
        while !lines.next_line().await.unwrap().unwrap().starts_with("worker ") {}
    });
    begun.await.unwrap();
    assert_eq!(newcomer.left().len(), 1);
    demo.kill().await.unwrap();
    let gone = timeout(PATIENCE, async {
        while !newcomer.left().is_empty() {
            // Nobody tells when the guard is done.
            sleep(LOOK).await;
        }
    });
    gone.await.unwrap_or_else(|_| panic!("{:?} stay", newcomer.left()));
}

#[tokio::test]
async fn what_does_not_go_as_scripted_is_named_and_ends_with_one() {
    let newcomer = Newcomer::new();
    let mut command = newcomer.command();
    // There is a shell, and nothing that could count.
    let run = Finished::of(command.env("PATH", newcomer.path())).await;
    let fault = "error: demo: it did not go as scripted: what the command said is not in the log\n";
    assert!(run.stderr.ends_with(fault), "{run:?}");
    assert!(run.stdout.contains("Nobody counted them, so I do not say how many they are.\n"), "{run:?}");
    assert_eq!((run.code, newcomer.left()), (Some(1), Vec::new()));

    fs::write(newcomer.path().join("musher.toml"), "[sever]\n").unwrap();
    let run = Finished::of(newcomer.command().args(["--config", "musher.toml"])).await;
    assert!(run.stderr.contains("musher.toml: TOML parse error at line 1"), "{run:?}");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "nothing begins: {run:?}");
}

#[tokio::test]
async fn every_command_that_is_offered_works() {
    let newcomer = Newcomer::new();
    let config = "[runtime]\ndefault_profile = \"own\"\n[profiles.own]\nbackend = \"scripted\"\n";
    fs::write(newcomer.path().join("it's mine.toml"), config).unwrap();
    let run = Finished::of(newcomer.command().args(["--config", "it's mine.toml"])).await;
    let offered = run.stdout.split("\ntry next\n").nth(1).unwrap_or_else(|| panic!("{run:?}"));
    let commands: Vec<_> = offered.lines().map(|line| line.trim().split("   ").next().unwrap()).collect();
    assert_eq!(commands.len(), 3, "{offered}");
    for command in &commands {
        assert!(command.contains(r"--config 'it'\''s mine.toml'"), "{command}");
        if command.contains(" serve ") {
            serves(newcomer.shell(command)).await;
        } else {
            let run = Finished::of(&mut newcomer.shell(command)).await;
            assert_eq!(run.code, Some(0), "{command}: {run:?}");
        }
    }
}

/// Waits until a server listens, and ends it.
async fn serves(mut command: Command) {
    let mut server = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = server.stderr.take().unwrap();
    let mut said = String::new();
    let listening = timeout(PATIENCE, async {
        let mut buffer = [0; 256];
        while !said.contains("listening on http://127.0.0.1:") {
            let n = stderr.read(&mut buffer).await.unwrap();
            assert!(n > 0, "it ended and said: {said}");
            said += &String::from_utf8_lossy(&buffer[..n]);
        }
    });
    listening.await.unwrap();
    let process = Process { pid: i32::try_from(server.id().unwrap()).unwrap(), command: String::new() };
    assert!(process.send(Signal::TERM));
    timeout(PATIENCE, server.wait()).await.unwrap().unwrap();
}
