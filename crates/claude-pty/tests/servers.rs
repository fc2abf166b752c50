//! MCP servers of the real program's sessions, on the newest and the oldest version.

#[macro_use]
mod stage;
mod marked;

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    path::Path,
    time::Duration,
};

use musher_backend::{Command, Event, Launch, TurnEnd, Verdict};
use musher_claude_pty::{ClaudeOptions, McpServer};
use musher_process::Environment;
use musher_testkit::tickets;
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, Signal, kill_process},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    time::timeout,
};

use self::{
    marked::marked,
    stage::{LATEST, OLD, Run, Stage, run::PATIENCE},
};

/// Long enough to be one.
const TOKEN: &str = "token-of-the-tickets";

fn program() -> String {
    env::var(tickets::PROGRAM)
        .unwrap_or_else(|_absent| panic!("{} is not set; see `cargo xtask parts`", tickets::PROGRAM))
}

/// The ticket server, with these variables besides its token.
fn tickets(variables: &[(&str, &str)]) -> McpServer {
    let mut environment = Environment::base();
    for (name, value) in [("TICKETS_TOKEN", TOKEN)].iter().chain(variables) {
        environment.set(name, *value).expect("a variable");
    }
    McpServer::Command { program: program(), args: Vec::new(), environment }
}

fn shell(script: &str) -> McpServer {
    let args = vec!["-c".to_owned(), script.to_owned()];
    McpServer::Command { program: "/bin/sh".to_owned(), args, environment: Environment::base() }
}

fn options(stage: &Stage, servers: &[(&str, McpServer)]) -> ClaudeOptions {
    let mcp: BTreeMap<_, _> =
        servers.iter().map(|(name, server)| ((*name).to_owned(), server.clone())).collect();
    ClaudeOptions { mcp, ..stage.options() }
}

fn launch(stage: &Stage, capabilities: &[&str]) -> Launch {
    let capabilities = capabilities.iter().map(|name| name.parse().expect("a capability")).collect();
    Launch { capabilities, temporary: Some(stage.home.path().to_owned()), ..stage.launch() }
}

/// What a tool said, and whether that was an error.
fn results(events: &[Event]) -> Vec<(&str, bool)> {
    let results = events.iter().filter_map(|event| {
        let Event::ToolResult { output, .. } = event else { return None };
        Some((output.content.as_str(), output.is_error))
    });
    results.collect()
}

/// What is told of servers that cannot be had.
fn told(events: &[Event]) -> Vec<&str> {
    let told = events.iter().filter_map(|event| {
        let Event::Diagnostic { code, message } = event else { return None };
        (code == "tools.mcp_unavailable").then_some(message.as_str())
    });
    told.collect()
}

/// The tools of servers that a session says it has.
fn listed(events: &[Event]) -> Vec<&str> {
    let environment = events.iter().find_map(|event| {
        let Event::Environment(environment) = event else { return None };
        Some(environment)
    });
    let tools = environment.expect("a session says what it has").tools.iter();
    tools.map(String::as_str).filter(|tool| tool.starts_with("mcp__")).collect()
}

/// Whether the model was told of such a tool, by its description or, where it looks for that by itself, by its name.
fn is_offered(stage: &Stage, tool: &str) -> bool {
    stage.api.requests().iter().any(|request| request.body.to_string().contains(tool))
}

async fn a_worker_has_the_servers_of_its_capabilities_and_no_others(variable: &str) {
    let stage = Stage::of(variable).await;
    let both = options(&stage, &[("tickets", tickets(&[])), ("mail", tickets(&[]))]);
    let mut run = Run::start(both.clone(), launch(&stage, &["read"]));
    let events = run.completed("@@tool:mcp__tickets__create|{\"title\": \"a\"}@@").await;
    assert_eq!(
        results(&events),
        [("<tool_use_error>Error: No such tool available: mcp__tickets__create</tool_use_error>", true)]
    );
    assert_eq!(
        (run.asked.clone(), listed(&events), is_offered(&stage, "mcp__mail")),
        (None, Vec::new(), false)
    );
    assert!(run.end(PATIENCE).await.exit_ok);

    let launch = launch(&stage, &["read", "mcp:tickets"]);
    let marker = launch.marker.clone();
    let mut run = Run::start(both, launch);
    let events = run.completed("@@tool:mcp__tickets__create|{\"title\": \"a\"}@@").await;
    assert_eq!(run.asked, Some(json!({"title": "a"})));
    assert_eq!(results(&events), [("ticket 1: a", false)]);
    let tools = ["create", "hang", "secret", "variables"].map(|name| format!("mcp__tickets__{name}"));
    assert_eq!(listed(&events), tools);
    assert!(is_offered(&stage, "mcp__tickets__create") && !is_offered(&stage, "mcp__mail"));
    let unknown = |event: &Event| matches!(event, Event::Diagnostic { .. });
    assert!(!events.iter().any(unknown), "{events:#?}");
    let servers = marked(&marker).into_iter().filter(|(_, command)| command.contains("tickets")).count();
    assert_eq!(servers, 1);

    run.verdict = Verdict::deny("no tickets today");
    let events = run.completed("@@tool:mcp__tickets__create|{\"title\": \"b\"}@@").await;
    assert_eq!(results(&events), [("no tickets today", true)]);
    run.verdict = Verdict::Allow { updated_input: Some(json!({"title": "d"})), answers: None };
    let events = run.completed("@@tool:mcp__tickets__create|{\"title\": \"c\"}@@").await;
    assert_eq!(results(&events), [("ticket 2: d", false)]);
    assert!(run.end(PATIENCE).await.exit_ok);
    assert_eq!((marked(&marker), stage.api.violations()), (Vec::new(), Vec::new()));
}

async fn a_server_has_its_own_variables_as_they_are_and_nothing_of_it_is_shown(variable: &str) {
    let stage = Stage::of(variable).await;
    let odd = "a ${HOME} $HOME ${A:-b}\n'\"";
    let server = tickets(&[("TICKETS_TOKEN", odd), ("TICKETS_KEY", TOKEN)]);
    let McpServer::Command { environment, .. } = &server else { panic!("a program") };
    let mut names: Vec<_> = environment.names().chain(["MUSHER_MARKER"]).collect();
    names.sort_unstable();
    let launch = launch(&stage, &["mcp:tickets"]);
    let marker = launch.marker.clone();
    let recordings = stage.home.path().join("recordings");
    let options =
        ClaudeOptions { record: Some(recordings.clone()), ..options(&stage, &[("tickets", server.clone())]) };
    let mut run = Run::start(options, launch);
    let events = run.completed("@@tool:mcp__tickets__variables@@").await;
    let found: Vec<_> = results(&events)[0].0.split(',').filter(|name| *name != "SHLVL").collect();
    assert_eq!(found, names);
    let events = run.completed("@@tool:mcp__tickets__secret@@").await;
    assert_eq!(results(&events), [(odd, false)]);
    let commands = marked(&marker);
    assert!(commands.len() >= 2 && !format!("{commands:?}").contains(TOKEN), "{commands:?}");
    assert!(run.end(PATIENCE).await.exit_ok);
    // Not the recording, nor what the program keeps of its sessions, nor the file that it was told in.
    assert_eq!(holding(stage.home.path(), TOKEN), Vec::<String>::new());
    assert_eq!(recordings.read_dir().expect("recordings").count(), 1);
}

/// The files below a directory that a text is in.
fn holding(directory: &Path, text: &str) -> Vec<String> {
    let entries = directory.read_dir().expect("a directory").map(|entry| entry.expect("an entry").path());
    let found = entries.flat_map(|path| match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => holding(&path, text),
        Ok(metadata) if metadata.is_file() => {
            let bytes = fs::read(&path).expect("a file");
            let holds = String::from_utf8_lossy(&bytes).contains(text);
            holds.then(|| path.display().to_string()).into_iter().collect()
        }
        Ok(_) | Err(_) => Vec::new(),
    });
    found.collect()
}

async fn an_address_gets_its_headers_as_they_are(variable: &str) {
    let stage = Stage::of(variable).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/mcp?at=${{HOME}}", listener.local_addr().expect("an address"));
    let headers = [("Authorization", "Bearer a-${HOME}-$b"), ("X-Team", "${A:-b}")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.into())).into();
    let server = McpServer::Url { url, headers };
    let recordings = stage.home.path().join("recordings");
    let options = ClaudeOptions { record: Some(recordings.clone()), ..options(&stage, &[("wiki", server)]) };
    let mut run = Run::start(options, launch(&stage, &["mcp:wiki"]));
    let asked = async move {
        // It is gone behind the first request.
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut lines = BufReader::new(&mut stream).lines();
        let mut head = Vec::new();
        while let Some(line) = lines.next_line().await.expect("a request").filter(|line| !line.is_empty()) {
            head.push(line);
        }
        head
    };
    let (events, head) = tokio::join!(run.completed("hello"), timeout(PATIENCE, asked));
    let head = head.expect("the server is asked");
    assert_eq!(told(&events).len(), 1, "{events:#?}");
    assert!(
        head[0].starts_with("POST /mcp?at=${HOME} ") || head[0].starts_with("POST /mcp?at=$%7BHOME%7D "),
        "{head:?}"
    );
    for header in ["authorization: bearer a-${home}-$b", "x-team: ${a:-b}"] {
        assert!(head.iter().any(|line| line.to_lowercase() == header), "{head:?}");
    }
    assert!(run.end(PATIENCE).await.exit_ok);
    // The program says its headers when it is asked how its servers are.
    assert_eq!(holding(&recordings, "mcp.wiki.headers.Authorization").len(), 1);
    assert_eq!(holding(&recordings, "HOME}-$b"), Vec::<String>::new());
}

async fn a_turn_waits_for_a_server_that_is_slow(variable: &str) {
    let stage = Stage::of(variable).await;
    let pipe = stage.home.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    let server = tickets(&[("TICKETS_AFTER", pipe.to_str().expect("a text"))]);
    let mut run = Run::start(options(&stage, &[("tickets", server)]), launch(&stage, &["mcp:tickets"]));
    run.say("@@tool:mcp__tickets__create|{\"title\": \"a\"}@@").await;
    // Once a second there is a sign of life. The oldest version itself would wait for two.
    for _ in 0..4 {
        run.until(|event| matches!(event, Event::Alive)).await;
    }
    assert_eq!(stage.api.requests().len(), 0);
    let _writer = OpenOptions::new().read(true).write(true).open(&pipe).expect("a named pipe");
    let events = run.until_over().await;
    assert_eq!((results(&events), told(&events)), (vec![("ticket 1: a", false)], Vec::new()));
    assert!(run.end(PATIENCE).await.exit_ok);
}

async fn a_server_that_cannot_be_had_costs_a_worker_its_tools_and_the_log_says_why(variable: &str) {
    let stage = Stage::of(variable).await;
    let pipe = stage.home.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    let servers = [
        ("dies", shell("exit 3")),
        (
            "gone",
            McpServer::Command {
                program: "/no/such/mail".to_owned(),
                args: Vec::new(),
                environment: Environment::base(),
            },
        ),
        ("mute", tickets(&[("TICKETS_AFTER", pipe.to_str().expect("a text"))])),
        ("tickets", tickets(&[])),
        ("wrong", tickets(&[("TICKETS_WRONG", "1")])),
    ];
    let mut options = options(&stage, &servers);
    // The program's own limit, in milliseconds; it is 30 s.
    options.env.insert("MCP_TIMEOUT".to_owned(), "4000".to_owned());
    let capabilities = ["mcp:dies", "mcp:gone", "mcp:mute", "mcp:tickets", "mcp:unknown", "mcp:wrong"];
    let mut run = Run::start(options, launch(&stage, &capabilities));
    let events = run.completed("@@tool:mcp__tickets__create|{\"title\": \"a\"}@@").await;
    assert_eq!(results(&events), [("ticket 1: a", false)]);
    let told: Vec<_> = told(&events)
        .into_iter()
        .map(|message| {
            let (server, why) =
                message.split_once(" cannot be used, its tools are left out: ").expect("a reason");
            (server.to_owned(), why.to_owned())
        })
        .collect();
    let named: Vec<_> = told.iter().map(|(server, _)| server.trim_start_matches("the MCP server ")).collect();
    assert_eq!(named, ["`gone`", "`unknown`", "`dies`", "`mute`", "`wrong`"], "{told:?}");
    assert_eq!(told[0].1, "the program `mail` was not found");
    assert_eq!(told[1].1, "no such server is configured");
    assert!(told[2].1.contains("onnection closed"), "{told:?}");
    assert!(told[3].1.contains("timed out"), "{told:?}");
    assert_eq!(told[4].1, "it is connected, and Claude Code took no tool of it");
    assert!(run.end(PATIENCE).await.exit_ok);
}

async fn an_interrupt_ends_a_call_that_hangs_and_the_session_goes_on(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(options(&stage, &[("tickets", tickets(&[]))]), launch(&stage, &["mcp:tickets"]));
    run.say("@@tool:mcp__tickets__hang@@").await;
    run.until(|event| matches!(event, Event::ToolCallDone { .. })).await;
    run.tell(Command::Interrupt).await;
    let events = run.until_over().await;
    assert_eq!(events.last(), Some(&Event::TurnEnded(TurnEnd::Interrupted)), "{events:#?}");
    run.completed("still there?").await;
    assert!(run.end(PATIENCE).await.exit_ok);
}

async fn no_end_leaves_a_server_or_what_it_started(variable: &str) {
    let stage = Stage::of(variable).await;
    // It hears no end of input and no signal, and starts something in a session of its own.
    let stubborn = shell(&format!("trap '' TERM INT HUP; setsid sleep 600 & {}; sleep 601", program()));
    let options = options(&stage, &[("tickets", stubborn)]);
    for is_killed in [false, true] {
        let launch = launch(&stage, &["mcp:tickets"]);
        let marker = launch.marker.clone();
        let mut run = Run::start(options.clone(), launch);
        let events = run.completed("@@tool:mcp__tickets__create|{\"title\": \"a\"}@@").await;
        assert_eq!(results(&events), [("ticket 1: a", false)]);
        let left = marked(&marker);
        assert!(left.iter().any(|(_, command)| command.contains("sleep 600")), "{left:?}");
        if is_killed {
            let claude = stage.program.to_str().expect("a test's path is text");
            let (pid, _) = left.iter().find(|(_, command)| command.starts_with(claude)).expect("the program");
            let pid = Pid::from_raw((*pid).try_into().expect("a pid")).expect("a pid");
            kill_process(pid, Signal::KILL).expect("it lives");
            assert_eq!(run.ended().await.expect("an outcome").signal, Some(9));
        } else {
            run.end(Duration::from_secs(10)).await;
        }
        assert_eq!(marked(&marker), []);
    }
}

on_both_versions! {
    a_worker_has_the_servers_of_its_capabilities_and_no_others
    a_server_has_its_own_variables_as_they_are_and_nothing_of_it_is_shown
    an_address_gets_its_headers_as_they_are
    a_turn_waits_for_a_server_that_is_slow
    a_server_that_cannot_be_had_costs_a_worker_its_tools_and_the_log_says_why
    an_interrupt_ends_a_call_that_hangs_and_the_session_goes_on
    no_end_leaves_a_server_or_what_it_started
}
