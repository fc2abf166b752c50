//! Evil repositories under the real program, on the newest and the oldest version. It runs git by itself, whatever the
//! model does, so a worker without a shell would have one that the repository words.

#[macro_use]
mod stage;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use musher_backend::{Event, Launch};
use musher_protocol::Capability;
use musher_testkit::repository::{EVILS, Repository};
use serde_json::{Value, json};

use self::stage::{LATEST, OLD, Run, Stage, run::PATIENCE};

const WITHOUT_SHELL: &[Capability] = &[Capability::Read, Capability::Write, Capability::Network];

/// What makes the model call a tool.
fn call(tool: &str, input: &Value) -> String {
    format!("@@tool:{tool}|{input}@@")
}

/// A worker of this repository.
fn run(stage: &Stage, repository: &Repository, capabilities: &[Capability]) -> Run {
    let capabilities: BTreeSet<_> = capabilities.iter().cloned().collect();
    let launch = Launch { working_dir: repository.path(), capabilities, ..stage.launch() };
    Run::start(stage.options(), launch)
}

/// What the program looks at a repository for: its start, a file that changed, and a subagent in a worktree of its own.
async fn work(run: &mut Run, repository: &Repository) -> Vec<Event> {
    let readme = repository.path().join("README");
    let edit = json!({ "file_path": readme, "old_string": "shop", "new_string": "house" });
    let task = json!({
        "description": "d", "prompt": "hello", "subagent_type": "general-purpose", "isolation": "worktree",
    });
    let mut events = Vec::new();
    for prompt in [
        "hello".to_owned(),
        call("Read", &json!({ "file_path": readme })),
        call("Edit", &edit),
        call("Task", &task),
        "hello".to_owned(),
    ] {
        events.extend(run.completed(&prompt).await);
    }
    events
}

async fn no_program_of_a_repository_runs_for_a_worker_without_a_shell(variable: &str) {
    let stage = Stage::of(variable).await;
    for evil in EVILS {
        let repository = Repository::new();
        repository.plant(evil);
        let mut run = run(&stage, &repository, WITHOUT_SHELL);
        let events = work(&mut run, &repository).await;
        assert!(run.end(PATIENCE).await.exit_ok, "{}: {events:#?}", evil.name);
        assert!(!repository.marker().exists(), "{}: {events:#?}", evil.name);
    }
}

async fn a_worker_without_a_shell_cannot_plant_one(variable: &str) {
    let stage = Stage::of(variable).await;
    let repository = Repository::new();
    let mut run = run(&stage, &repository, WITHOUT_SHELL);
    let program = format!("touch {}", repository.marker().display());
    let config = format!(
        "[core]\n\tfsmonitor = {program}\n[filter \"evil\"]\n\tclean = {program}\n\tsmudge = {program}\n"
    );
    for (file, content) in [(".git/config", config), (".gitattributes", "* filter=evil\n".to_owned())] {
        let path = repository.path().join(file);
        run.completed(&call("Read", &json!({ "file_path": path }))).await;
        let events = run.completed(&call("Write", &json!({ "file_path": path, "content": content }))).await;
        assert_eq!(fs::read_to_string(&path).ok(), Some(content), "{events:#?}");
    }
    let mut events = work(&mut run, &repository).await;
    assert!(run.end(PATIENCE).await.exit_ok);
    // The next session begins with a look at the repository.
    let mut run = self::run(&stage, &repository, WITHOUT_SHELL);
    events.extend(work(&mut run, &repository).await);
    assert!(run.end(PATIENCE).await.exit_ok);
    assert!(!repository.marker().exists(), "{events:#?}");
}

async fn git_works_for_a_worker_with_a_shell_as_for_its_user(variable: &str) {
    let stage = Stage::of(variable).await;
    let repository = Repository::new();
    let hook = repository.path().join(".git/hooks/pre-commit");
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", repository.marker().display())).expect("a hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a hook");
    let mut run = run(&stage, &repository, &[Capability::Read, Capability::Shell]);
    let commit = "git -c user.name=a -c user.email=a commit -q --allow-empty -m second";
    let events = run.completed(&format!("@@bash:{commit}@@")).await;
    assert!(run.end(PATIENCE).await.exit_ok);
    assert!(repository.marker().exists(), "{events:#?}");
    assert_eq!(repository.git(&["log", "--format=%s", "-n1"]), "second");
}

on_both_versions! {
    no_program_of_a_repository_runs_for_a_worker_without_a_shell
    a_worker_without_a_shell_cannot_plant_one
    git_works_for_a_worker_with_a_shell_as_for_its_user
}
