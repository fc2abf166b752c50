//! Where the real program is tested: a fake of its vendor, a home of its own, an empty directory.

pub(crate) mod run;

use std::{collections::BTreeMap, env, path::PathBuf, process, sync::Arc};

use musher_backend::Launch;
use musher_claude_pty::ClaudeOptions;
use musher_protocol::WorkerId;
use musher_testkit::messages_api::MessagesApi;
use tempfile::TempDir;

pub(crate) use self::run::Run;

/// The newest version that is tested.
pub(crate) const LATEST: &str = "MUSHER_TEST_CLAUDE_LATEST";
/// The oldest version that is tested.
pub(crate) const OLD: &str = "MUSHER_TEST_CLAUDE_OLD";

/// Makes of each function a test on the newest and one on the oldest version.
macro_rules! on_both_versions {
    ($($test:ident)*) => {
        mod latest {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::LATEST).await;
                }
            )*
        }

        mod old {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::OLD).await;
                }
            )*
        }
    };
}

/// The directories of a worker, and a program.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) api: Arc<MessagesApi>,
    pub(crate) home: Arc<TempDir>,
    pub(crate) work: Arc<TempDir>,
    pub(crate) program: PathBuf,
}

impl Stage {
    /// A stage for the version whose program a variable names.
    pub(crate) async fn of(variable: &str) -> Self {
        let Some(program) = env::var_os(variable) else {
            panic!("{variable} is not set; run `eval \"$(cargo xtask parts)\"` and this again")
        };
        Self::with(program.into()).await
    }

    /// A stage for a program.
    pub(crate) async fn with(program: PathBuf) -> Self {
        let directory = || Arc::new(TempDir::with_prefix("musher-claude-").expect("a temporary directory"));
        let api = Arc::new(MessagesApi::start().await);
        Self { api, home: directory(), work: directory(), program }
    }

    /// Options that keep the program away from the real home and the real vendor.
    pub(crate) fn options(&self) -> ClaudeOptions {
        let home = self.home.path().to_str().expect("a temporary path is text");
        let variables = [
            ("HOME", home),
            ("CLAUDE_CONFIG_DIR", &format!("{home}/.claude")),
            ("ANTHROPIC_BASE_URL", self.api.url()),
            ("ANTHROPIC_API_KEY", self.api.api_key()),
        ];
        ClaudeOptions {
            program: self.program.to_str().expect("a test's path is text").to_owned(),
            env: BTreeMap::from(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))),
            pass_env: Vec::new(),
            ..ClaudeOptions::default()
        }
    }

    /// A launch in the empty directory, with a marker of its own.
    pub(crate) fn launch(&self) -> Launch {
        let worker_id = WorkerId::mint();
        let marker = format!("claude-test-{}/{worker_id}", process::id());
        Launch { marker, ..Launch::new(worker_id, self.work.path().to_owned()) }
    }
}
