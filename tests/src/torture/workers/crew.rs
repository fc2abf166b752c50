//! Workers on one program, and the server that runs them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::Method;
use musher_testkit::{
    cassette::{Cassette, What},
    messages_api::MessagesApi,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{
    leftover::{CONFIG, Places, RECORDINGS},
    life::Life,
    tally::Tally,
};
use crate::{ALLOW, ASK, Client, DENY, Fleet, Home, Process, Server, torture::seed::Seed};

/// How long a question waits for its answer where there is a hurry: long enough for some answers to come in time.
const HASTE: Duration = Duration::from_secs(1);

/// Who decides what a worker asks; workers take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// The profile itself, which allows everything.
    Allowing,
    /// The profile itself, which denies everything.
    Denying,
    /// Clients, who have time.
    Asking,
    /// Clients, unless the deadline is faster.
    Hasty,
}

/// A crew before it lives.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) name: &'static str,
    pub(super) n: usize,
    pub(super) rounds: u64,
    pub(super) seed: Seed,
    pub(super) program: PathBuf,
    pub(super) record: bool,
}

/// What is known of a crew that has lived.
#[derive(Debug)]
pub(super) struct Mustered {
    pub(super) name: &'static str,
    pub(super) n_workers: usize,
    /// Whole ones, when sessions were recorded.
    pub(super) n_cassettes: Option<usize>,
    pub(super) tally: Tally,
    pub(super) memory: Memory,
    pub(super) findings: Vec<String>,
}

/// Resident memory in KiB, while every worker has a session and none does anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    n_workers: u64,
    server_alone: u64,
    server: u64,
    programs: u64,
    /// At the end of everything, which is when it is largest.
    pub(super) server_at_most: u64,
}

impl Memory {
    /// What a worker adds to the server.
    pub(super) fn server_a_worker(&self) -> u64 {
        self.server.saturating_sub(self.server_alone).checked_div(self.n_workers).unwrap_or_default()
    }

    /// What its CLI takes.
    pub(super) fn program_a_worker(&self) -> u64 {
        self.programs.checked_div(self.n_workers).unwrap_or_default()
    }
}

impl Profile {
    /// Those that clients answer come first: the fewest workers try these.
    pub(super) const ALL: [Self; 4] = [Self::Asking, Self::Hasty, Self::Allowing, Self::Denying];

    fn name(self) -> &'static str {
        match self {
            Self::Allowing => "allowing",
            Self::Denying => "denying",
            Self::Asking => "asking",
            Self::Hasty => "hasty",
        }
    }

    /// Whether somebody has to answer.
    pub(super) fn asks(self) -> bool {
        match self {
            Self::Allowing | Self::Denying => false,
            Self::Asking | Self::Hasty => true,
        }
    }

    /// When a question is answered by itself; `None` where that is later than anybody waits.
    pub(super) fn deadline(self) -> Option<Duration> {
        match self {
            Self::Hasty => Some(HASTE),
            Self::Allowing | Self::Denying | Self::Asking => None,
        }
    }

    /// Its approvals, as a config has them.
    fn approval(self) -> String {
        match self {
            Self::Allowing => ALLOW.to_owned(),
            Self::Denying => DENY.to_owned(),
            Self::Asking => ASK.to_owned(),
            Self::Hasty => format!("{{ mode = \"ask\", deadline_secs = {} }}", HASTE.as_secs()),
        }
    }
}

impl Crew {
    /// From the server's start to its end.
    pub(super) async fn live(mut self) -> Mustered {
        let (api, fleet) = (MessagesApi::start().await, Fleet::new());
        let vendor = TempDir::with_prefix("musher-torture-").unwrap();
        let temporary = TempDir::with_prefix("musher-torture-").unwrap();
        let mut config = config(&self.program, &api, &fleet, vendor.path());
        if self.record {
            config.push_str(&format!("record = \"{RECORDINGS}\"\n"));
        }
        let home = Home::new(&config).env("TMPDIR", temporary.path());
        let server = home.start().await;
        let client = server.client();

        let server_alone = server.resident_kib();
        let workers = self.create(&client).await;
        let lives = workers.iter().zip(Profile::ALL.into_iter().cycle()).map(|(worker, profile)| {
            let seed = self.seed.fork();
            Life::new(client.clone(), worker.clone(), profile, seed, self.name == "fake").begin()
        });
        let lives: Vec<Life> = lives.collect::<JoinSet<_>>().join_all().await;
        let places = Places { temporary: temporary.path(), vendor: vendor.path(), home: home.path() };
        let at_work = places.at_work(workers.len());
        let programs = workers.iter().flat_map(|worker| Process::of(worker));
        let mut memory = Memory {
            n_workers: workers.len() as u64,
            server_alone,
            server: server.resident_kib(),
            programs: programs.map(|program| program.resident_kib()).sum(),
            server_at_most: 0,
        };
        let lives = lives.into_iter().map(|life| life.live(self.rounds));
        let lives: Vec<Life> = lives.collect::<JoinSet<_>>().join_all().await;
        memory.server_at_most = server.resident_kib();

        let (mut tally, mut findings) = (Tally::default(), at_work);
        for life in lives {
            tally.add(&life.tally);
            findings.extend(life.findings);
        }
        let shelf = home.path().join(RECORDINGS);
        let mut n_cassettes = None;
        if self.record {
            let (n_whole, problems) = cassettes(&shelf);
            n_cassettes = Some(n_whole);
            findings.extend(problems);
            if n_whole as u64 != tally.ran {
                findings
                    .push(format!("the CLI ran in {} sessions, and {n_whole} are recorded whole", tally.ran));
            }
        }
        findings.extend(delete(&client, &workers).await);
        findings.extend(end(server).await);
        for command in fleet.alive() {
            tally.left += 1;
            findings.push(format!("`{command}` is left when the server has ended"));
        }
        for file in places.left() {
            tally.files += 1;
            findings.push(format!("{} is left", file.display()));
        }
        for file in recordings(&shelf) {
            findings.push(format!("{} is left of a worker that was deleted", file.display()));
        }
        let violations = api.violations();
        findings.extend(violations.iter().map(|violation| format!("the vendor would refuse: {violation}")));
        Mustered { name: self.name, n_workers: workers.len(), n_cassettes, tally, memory, findings }
    }

    async fn create(&mut self, client: &Client) -> Vec<String> {
        let mut workers = Vec::new();
        for profile in Profile::ALL.into_iter().cycle().take(self.n) {
            let profile = json!({"kind": "named", "value": profile.name()});
            workers.push(client.create(&json!({"intent": {"kind": "assistant"}, "profile": profile})).await);
        }
        workers
    }
}

/// Deletes workers that have ended; their directories go with them.
async fn delete(client: &Client, workers: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for worker in workers {
        let path = format!("/v1/workers/{worker}");
        let answer = client.send(Method::DELETE, &path, &[], bytes::Bytes::new()).await;
        if answer.status != 204 {
            findings.push(format!("DELETE {path} is answered with 204, not so: {answer:?}"));
        }
    }
    findings
}

async fn end(server: Server) -> Option<String> {
    let ended = server.terminate().await;
    (ended.code != Some(0)).then(|| format!("the server drains and ends with 0, not so: {ended:?}"))
}

fn recordings(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// How many recordings are whole, and what is wrong with the others.
fn cassettes(directory: &Path) -> (usize, Vec<String>) {
    let whole = |file: PathBuf| {
        let name = file.display();
        let text = fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
        let cassette = Cassette::read(&text).map_err(|error| format!("{name}: {error}"))?;
        match cassette.entries.last().map(|entry| &entry.what) {
            Some(What::Exit { code: Some(_), .. } | What::Exit { signal: Some(_), .. }) => Ok(()),
            other => Err(format!("{name} ends with its program, not with {other:?}")),
        }
    };
    let (whole, problems): (Vec<_>, Vec<_>) = recordings(directory).map(whole).partition(Result::is_ok);
    (whole.len(), problems.into_iter().filter_map(Result::err).collect())
}

/// A config whose CLI is this program, with nothing of the tester's own settings.
fn config(program: &Path, api: &MessagesApi, fleet: &Fleet, vendor: &Path) -> String {
    let profiles = Profile::ALL.map(|profile| {
        format!(
            "[profiles.{}]\nbackend = \"claude-pty\"\napproval = {}\n",
            profile.name(),
            profile.approval()
        )
    });
    format!(
        r#"
[runtime]
default_profile = "allowing"
[store]
url = "sqlite:store"
{}
[backends.claude-pty]
program = "{}"
env = {{ HOME = "{vendor}", CLAUDE_CONFIG_DIR = "{vendor}/{CONFIG}", ANTHROPIC_BASE_URL = "{}", ANTHROPIC_API_KEY = "{}", {} }}
"#,
        profiles.concat(),
        program.display(),
        api.url(),
        api.api_key(),
        fleet.env(),
        vendor = vendor.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_recordings_count() {
        let directory = TempDir::new().unwrap();
        assert_eq!(cassettes(directory.path()), (0, Vec::new()));
        let header = r#"{"musher_cassette":1,"args":[],"env_keys":[]}"#;
        for (name, end) in [
            ("code", r#"{"at_ms":1,"exit":{"code":0,"signal":null}}"#),
            ("signal", r#"{"at_ms":1,"exit":{"code":null,"signal":9}}"#),
            ("unknown", r#"{"at_ms":1,"exit":{"code":null,"signal":null}}"#),
            ("cut", r#"{"at_ms":1,"cut":"full"}"#),
            ("torn", r#"{"at_ms":1,"exit":{"co"#),
            ("open", r#"{"at_ms":1,"stdout":"a"}"#),
        ] {
            fs::write(directory.path().join(name), format!("{header}\n{end}\n")).unwrap();
        }
        let (n_whole, mut problems) = cassettes(directory.path());
        problems.sort_unstable();
        let named: Vec<_> = ["cut", "open", "torn", "unknown"]
            .map(|name| directory.path().join(name).display().to_string())
            .into();
        let starts = problems.iter().zip(&named).all(|(problem, name)| problem.starts_with(name.as_str()));
        assert!(n_whole == 2 && problems.len() == named.len() && starts, "{n_whole}, {problems:#?}");
    }
}
