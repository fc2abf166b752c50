//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use musher_http::TokenScope;

/// Runs AI agent workers, and keeps a log of what they did that never lies.
#[derive(Debug, Parser)]
#[command(name = "musher", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows Musher at work, without a key and without set-up.
    ///
    /// A scripted model server on the loopback interface speaks OpenAI's protocol. All else is real: the loop, tools,
    /// approvals and the log, in a directory that goes with the demo. At a terminal you are asked whether a command may
    /// run; elsewhere the demo decides and says so. The exit code is 0 when all went as scripted, 1 when it did not, 130
    /// when it was interrupted.
    Demo(DemoArguments),
    /// Runs one worker and streams it to the terminal.
    ///
    /// The worker works in the current directory. The exit code says how it ended: 0 done, 1 failed,
    /// 3 a limit was reached, 4 the model refused, 130 interrupted.
    #[command(
        after_help = "Examples:\n  musher run \"fix the failing test\"\n  musher run --profile echo \"hello\"      needs neither a CLI nor a key; musher demo shows more"
    )]
    Run(RunArguments),
    /// Runs one worker as `run` does, and records all that Claude Code is told and says, for a bug report.
    ///
    /// The recording is a file of JSON lines. It holds prompts, answers, files and the output of tools: read it
    /// before you share it. Values of variables whose names look like secrets are left out.
    #[command(after_help = "Example:\n  musher record --out bug.jsonl \"the prompt that goes wrong\"")]
    Record(RecordArguments),
    /// Serves workers over HTTP.
    #[command(
        after_help = "Examples:\n  musher serve\n  musher serve --listen 127.0.0.1:0 --ready-file ready.json"
    )]
    Serve(ServeArguments),
    /// Asks the store a question in SQL, read-only, also while a server runs on it.
    #[command(
        after_help = "Examples:\n  musher sql \"SELECT worker_id, status, total_cost_usd FROM workers\"\n  musher sql --json \"SELECT type, count(*) AS n FROM events GROUP BY type\"\n\nThe tables are in docs/operating.md."
    )]
    Sql(SqlArguments),
    /// Makes, shows and takes away the tokens of a server, also while it runs.
    #[command(
        after_help = "Examples:\n  musher token create ci --scope observe --scope drive --label team=a\n  musher token rotate admin\n\nTokens that the config has are changed there."
    )]
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Says what works here, and what to do about the rest.
    #[command(subcommand)]
    Doctor(DoctorCommand),
    /// Ends the processes of a server that was killed; the server starts it by itself.
    #[command(hide = true)]
    Guard {
        /// The server's scratch directory, to be removed when nobody works in it any more.
        #[arg(long)]
        scratch: Option<PathBuf>,
        /// Whose processes.
        owner: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// The config file. Nothing of it runs: it says which commands are offered at the end.
    #[arg(long, env = "MUSHER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// What the worker is to do.
    pub(crate) objective: String,
    /// What runs: a profile of the config, or `coder` (Claude Code) or `echo` (scripted: says what it was told).
    #[arg(long, conflicts_with = "backend")]
    pub(crate) profile: Option<String>,
    /// What runs, by backend, with the defaults of everything else.
    #[arg(long)]
    pub(crate) backend: Option<String>,
    /// Prints the events as JSON, one a line, and `{"outcome": …}` last.
    #[arg(long)]
    pub(crate) json: bool,
    /// The config file.
    #[arg(long, env = "MUSHER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// How many seconds of a rate limit to wait for.
    #[arg(long, default_value_t = 600)]
    pub(crate) max_wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct RecordArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// The file to record to; by default one in the user's data directory.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "MUSHER_LISTEN")]
    pub(crate) listen: Option<String>,
    /// Where the logs live: `sqlite:DIRECTORY`, or `memory` (gone when the server ends). By default a directory of
    /// the user's own.
    #[arg(long, env = "MUSHER_STORE")]
    pub(crate) store: Option<String>,
    /// The config file.
    #[arg(long, env = "MUSHER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The file with the admin token; written at the first start.
    #[arg(long, env = "MUSHER_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where to write `{"url", "pid", "token_file"}` once the server is ready.
    #[arg(long)]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// One statement that reads.
    pub(crate) query: String,
    /// Prints one JSON object a row.
    #[arg(long)]
    pub(crate) json: bool,
    /// The store: `sqlite:DIRECTORY`.
    #[arg(long, env = "MUSHER_STORE")]
    pub(crate) store: Option<String>,
    /// The config file.
    #[arg(long, env = "MUSHER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints its text, once.
    Create(CreateToken),
    /// Lists tokens: their names, scopes and labels.
    List {
        /// Prints one JSON object a token.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: TokenPlace,
    },
    /// Takes a token away. What it had opened on a running server ends.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: TokenPlace,
    },
    /// Gives a token another text and prints it, once; the admin's is written to its file instead.
    Rotate {
        /// Its name; `admin` is the admin's.
        name: String,
        /// Prints a JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: TokenPlace,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    /// Its name, which the log says of whatever it does.
    pub(crate) name: String,
    /// What it may do: `observe`, `drive`, `approve` or `admin`, which holds all; may be repeated.
    #[arg(long = "scope", required = true, value_parser = scope)]
    pub(crate) scopes: Vec<TokenScope>,
    /// `KEY=VALUE` of the workers that it is for, and of those that it creates; may be repeated.
    #[arg(long = "label", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Prints a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: TokenPlace,
}

#[derive(Debug, Args)]
pub(crate) struct TokenPlace {
    /// The file with the server's admin token: the other tokens are beside it.
    #[arg(long, env = "MUSHER_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

fn scope(text: &str) -> Result<TokenScope, String> {
    match text {
        "observe" => Ok(TokenScope::Observe),
        "drive" => Ok(TokenScope::Drive),
        "approve" => Ok(TokenScope::Approve),
        "admin" => Ok(TokenScope::Admin),
        _ => Err("a scope is `observe`, `drive`, `approve` or `admin`".to_owned()),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is written KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum DoctorCommand {
    /// Proves that streams come from a server to here, through every proxy between.
    ///
    /// A line a check: ok, failed with what to do, or skipped. The exit code is 0 when nothing failed, 130 after a signal,
    /// else 1. It takes about half a minute, for it also listens to silence.
    #[command(
        after_help = "Examples:\n  musher doctor stream --url https://musher.example.org --token-file token --profile echo\n  musher doctor stream --url http://127.0.0.1:7717 --token-file token --worker wrk_…    only looks"
    )]
    Stream(DoctorStreamArguments),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("examined").required(true).args(["worker", "profile"]))]
pub(crate) struct DoctorStreamArguments {
    /// Where clients reach the server: `http://HOST:PORT`, `https://HOST` or `unix:PATH`.
    #[arg(long, env = "MUSHER_URL")]
    pub(crate) url: String,
    /// The file with a token. It needs the scope `observe`, and `drive` with `--profile`.
    #[arg(long, env = "MUSHER_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The worker to look at. Nothing is said to it.
    #[arg(long)]
    pub(crate) worker: Option<String>,
    /// What runs in a worker of the doctor's own. It is told to say hello, and deleted in the end.
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
