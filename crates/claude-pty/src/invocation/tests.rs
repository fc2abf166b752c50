use std::collections::BTreeMap;

use musher_backend::{Access, Resume, Root};
use musher_protocol::WorkerId;

use super::*;

fn options() -> ClaudeOptions {
    ClaudeOptions { program: "/bin/sh".to_owned(), pass_env: Vec::new(), ..ClaudeOptions::default() }
}

fn launch() -> Launch {
    let worker: WorkerId = "wrk_1".parse().unwrap();
    Launch { marker: "life/wrk_1".to_owned(), ..Launch::new(worker, "/".into()) }
}

fn arguments(launch: &Launch) -> String {
    let invocation = Invocation::new(&options(), launch).unwrap();
    let args = invocation.command.args.into_iter().map(|arg| arg.into_string().unwrap());
    args.collect::<Vec<_>>().join(" ").replace(invocation.session_id.as_str(), "ID")
}

const COMMON: &str = "-p --input-format stream-json --output-format stream-json --verbose \
    --include-partial-messages --permission-prompt-tool stdio --permission-mode default --strict-mcp-config \
    --setting-sources= --disallowedTools=CronCreate,CronDelete,CronList,Monitor,ScheduleWakeup,SendMessage,Workflow";

#[test]
fn a_new_session_gets_an_id_and_a_continued_one_keeps_its_own() {
    assert_eq!(arguments(&launch()), format!("{COMMON} --session-id=ID"));
    let session_id: SessionId = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    let resumed = Launch { resume: Some(Resume { session_id }), ..launch() };
    assert_eq!(arguments(&resumed), format!("{COMMON} --resume=ID"));
}

#[test]
fn no_value_can_pass_for_an_option_and_no_instruction_is_an_argument() {
    let instructions = Some("be brief".to_owned());
    let launch = Launch { model: Some("--help".to_owned()), instructions, ..launch() };
    assert_eq!(arguments(&launch), format!("{COMMON} --session-id=ID --model=--help"));
}

#[test]
fn further_directories_are_given_with_what_keeps_them() {
    let with = |access| {
        let roots = vec![Root { path: "/srv/hand book".into(), access }];
        Launch { roots, working_dir: "/work".into(), ..launch() }
    };
    let given = format!("{COMMON} --add-dir=/srv/hand book");
    assert_eq!(arguments(&with(Access::ReadWrite)), format!("{given} --session-id=ID"));
    let rule = r#"--settings={"permissions":{"deny":["Edit(//srv/hand book/**)"]}}"#;
    assert_eq!(arguments(&with(Access::ReadOnly)), format!("{given} {rule} --session-id=ID"));
}

#[test]
fn git_finds_no_repository_without_a_shell_whatever_the_options_say() {
    for (capabilities, expected) in [
        (&["read", "write", "shell", "network"][..], ["/srv/shop.git", "0"]),
        (&["shell"], ["/srv/shop.git", "0"]),
        (&["read", "write", "network"], ["/dev/null", "3"]),
        (&[], ["/dev/null", "3"]),
    ] {
        let env = [("GIT_DIR", "/srv/shop.git"), ("GIT_CONFIG_COUNT", "0")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let capabilities = capabilities.iter().map(|name| name.parse().unwrap()).collect();
        let launch = Launch { capabilities, ..launch() };
        let invocation = Invocation::new(&ClaudeOptions { env, ..options() }, &launch).unwrap();
        let value = |name| invocation.command.environment.get(name).unwrap().to_str().unwrap();
        let found = ["GIT_DIR", "GIT_CONFIG_COUNT"].map(value);
        assert_eq!(found, expected, "{:?}", launch.capabilities);
    }
}

#[test]
fn a_session_that_is_not_the_programs_is_refused_before_anything_starts() {
    for id in ["scripted-1", "--help", "my-title"] {
        let resume = Some(Resume { session_id: id.parse().unwrap() });
        let refused = Invocation::new(&options(), &Launch { resume, ..launch() }).unwrap_err();
        assert_eq!(refused.code, BackendError::RESUME_REFUSED, "{id}");
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    let missing = ClaudeOptions { program: "/no/such/claude".to_owned(), ..options() };
    assert_eq!(Invocation::new(&missing, &launch()).unwrap_err().code, "program_missing");
    let unmarked = Launch { marker: "none".to_owned(), ..launch() };
    assert_eq!(Invocation::new(&options(), &unmarked).unwrap_err().code, "launch_invalid");
    let unnamed = Launch { roots: vec![Root { path: "/a*".into(), access: Access::ReadOnly }], ..launch() };
    assert_eq!(Invocation::new(&options(), &unnamed).unwrap_err().code, "launch_invalid");
    let env = [("A=B".to_owned(), String::new())].into();
    let invalid = ClaudeOptions { env, ..options() };
    assert_eq!(Invocation::new(&invalid, &launch()).unwrap_err().code, "options_invalid");
}

#[test]
fn the_options_have_the_last_word_about_the_environment() {
    let env = [("DISABLE_TELEMETRY".to_owned(), "0".to_owned()), ("KEY".to_owned(), "k".to_owned())].into();
    let pass_env = vec!["CARGO_MANIFEST_DIR".to_owned(), "MUSHER_NO_SUCH_VARIABLE".to_owned()];
    let environment = environment(&ClaudeOptions { env, pass_env, ..options() }, None, &[]).unwrap();
    let value = |name| environment.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(value("DISABLE_TELEMETRY"), Some("0"));
    assert_eq!(value("DISABLE_AUTOUPDATER"), Some("1"));
    assert_eq!(value("KEY"), Some("k"));
    assert_eq!(value("CARGO_MANIFEST_DIR"), Some(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(value("CARGO_PKG_NAME"), None);
}

#[test]
fn the_workspace_declares_variables_that_the_options_may_replace() {
    let given = |env: BTreeMap<String, String>| {
        let pass_env = vec!["CARGO_PKG_NAME".to_owned(), "MUSHER_NO_SUCH_VARIABLE".to_owned()];
        let launch = Launch { pass_env, ..launch() };
        let invocation = Invocation::new(&ClaudeOptions { env, ..options() }, &launch).unwrap();
        let environment = invocation.command.environment;
        environment.get("CARGO_PKG_NAME").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(given(BTreeMap::new()).as_deref(), Some(env!("CARGO_PKG_NAME")));
    let env = BTreeMap::from([("CARGO_PKG_NAME".to_owned(), "mine".to_owned())]);
    assert_eq!(given(env).as_deref(), Some("mine"));
}

#[test]
fn temporary_files_go_where_the_launch_says_unless_the_options_do() {
    let temporary = Some("/scratch/tmp/1".into());
    let tmpdir = |options: &ClaudeOptions| {
        let invocation =
            Invocation::new(options, &Launch { temporary: temporary.clone(), ..launch() }).unwrap();
        invocation.command.environment.get("TMPDIR").unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(tmpdir(&options()), "/scratch/tmp/1");
    let env = [("TMPDIR".to_owned(), "/fast".to_owned())].into();
    assert_eq!(tmpdir(&ClaudeOptions { env, ..options() }), "/fast");
}
