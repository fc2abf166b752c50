//! Sessions and their temporary directories, through the library surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use musher_backend::{BackendError, Launch, Link, SessionOutcome, async_trait};
use musher_core::{MemoryStore, Profile, Runtime};
use musher_protocol::{Actor, CreateWorker, Delivery, InputKind, InputRequest, Intent};
use tempfile::TempDir;

use self::acting::{Act, Acting};

/// What a session of [`Untidy`] has started, and where.
type Litter = (Option<PathBuf>, Child);

/// A backend that leaves a file in its temporary directory, and a process, and ends at the first command.
#[derive(Debug)]
struct Untidy(mpsc::SyncSender<Litter>);

#[async_trait]
impl Act for Untidy {
    async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        let mut sleeper = Command::new("sleep");
        sleeper.arg("1050").env("MUSHER_MARKER", &launch.marker).stdin(Stdio::null());
        if let Some(directory) = &launch.temporary {
            fs::write(directory.join("file"), "x").unwrap();
            sleeper.current_dir(directory);
        }
        link.session_started("untidy-1".parse().unwrap(), false).await.unwrap();
        self.0.send((launch.temporary, sleeper.spawn().unwrap())).unwrap();
        let _first = link.next_command().await;
        Ok(SessionOutcome::ended())
    }
}

/// Runs one session to its end in a runtime with this scratch directory; returns the runtime, and what was left.
async fn run(scratch: &Path) -> (Runtime, Option<PathBuf>, Child) {
    let (litter, left) = mpsc::sync_channel(1);
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("untidy", Acting(Untidy(litter)))
        .profile("p", Profile::of("untidy"))
        .scratch(scratch.to_owned())
        .start()
        .await
        .unwrap();
    let me = || Actor::rule("test");
    let request = CreateWorker::new(Intent::Assistant { purpose: None });
    let worker = runtime.create_worker(request, me()).await.unwrap().worker_id;
    let input = InputRequest {
        kind: InputKind::User,
        content: "go".to_owned(),
        input_id: None,
        delivery: Delivery::Queue,
    };
    runtime.send_input(&worker, input, me()).await.unwrap();
    runtime.stop_worker(&worker, None, None, me()).await.unwrap();
    let (directory, sleeper) = left.recv().unwrap();
    (runtime, directory, sleeper)
}

#[tokio::test]
async fn a_sessions_directory_goes_after_its_processes() {
    let scratch = TempDir::new().unwrap();
    let (runtime, directory, mut sleeper) = run(scratch.path()).await;
    let directory = directory.unwrap();
    assert!(directory.starts_with(scratch.path()) && !directory.exists(), "{}", directory.display());
    assert_eq!(sleeper.wait().unwrap().code(), None, "it was killed");
    assert_eq!(runtime.diagnostics(), []);
    runtime.shutdown().await;
    drop(runtime);
    assert!(!scratch.path().join("tmp").exists());
}

#[tokio::test]
async fn where_sockets_would_not_fit_sessions_share_the_hosts_directory_and_a_diagnostic_says_so() {
    let parent = TempDir::new().unwrap();
    let scratch = parent.path().join("s".repeat(60));
    let (runtime, directory, mut sleeper) = run(&scratch).await;
    assert_eq!(directory, None);
    assert_eq!(sleeper.wait().unwrap().code(), None, "it was killed");
    let codes: Vec<_> = runtime.diagnostics().into_iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["runtime.temporary_shared"]);
}

#[tokio::test]
async fn a_session_that_gets_no_directory_runs_and_a_diagnostic_says_so() {
    let scratch = TempDir::new().unwrap();
    fs::write(scratch.path().join("tmp"), "somebody's file").unwrap();
    let (runtime, directory, mut sleeper) = run(scratch.path()).await;
    assert_eq!(directory, None);
    assert_eq!(sleeper.wait().unwrap().code(), None, "it was killed");
    let diagnostics = runtime.diagnostics();
    let [missing] = &diagnostics[..] else { panic!("one diagnostic, not {diagnostics:?}") };
    assert_eq!((missing.code.as_str(), missing.worker_id.is_some()), ("runtime.temporary_missing", true));
    assert!(!missing.message.contains(scratch.path().to_str().unwrap()), "{}", missing.message);
}
