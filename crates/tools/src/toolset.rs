//! The tools of this crate, put together for a session.

use std::{env, error::Error, path::PathBuf, sync::Arc};

use musher_backend::{ToolDiagnostic, Toolbox, ToolboxError, Toolkit, Workbench, async_trait};
use musher_process::{Environment, Marker};
use musher_protocol::Capability;
use tokio::task;

use crate::{
    files,
    sandbox::{Level, Sandbox},
    scratch::Scratch,
    shell::Shell,
    workspace::Workspace,
};

/// A toolbox: files of the workspace, a shell, and what is added to it.
///
/// It holds nothing open. Each session gets tools of its own, which end what they started when they are dropped.
#[derive(Clone, Debug)]
pub struct ToolSet {
    environment: Environment,
    sandbox: Sandbox,
    temporary: PathBuf,
}

impl ToolSet {
    /// The workspace tools: `read_file`, `list_directory` and `search` for [`Capability::Read`], `write_file` and
    /// `edit_file` for [`Capability::Write`], `shell` for [`Capability::Shell`].
    #[must_use]
    pub fn workspace() -> Self {
        Self { environment: Environment::base(), sandbox: Sandbox::default(), temporary: env::temp_dir() }
    }

    /// What commands of the shell find in their environment, besides TMPDIR, TERM and the marker; unless this is
    /// called, [`Environment::base`].
    #[must_use]
    pub fn with_environment(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    /// Where commands of the shell may write.
    #[must_use]
    pub fn with_sandbox(self, sandbox: Sandbox) -> Self {
        Self { sandbox, ..self }
    }

    /// Where a session gets a directory for temporary files that was given none ([`Workbench::temporary`]); the
    /// system's place unless this is called.
    #[must_use]
    pub fn with_temporary_in(self, directory: impl Into<PathBuf>) -> Self {
        Self { temporary: directory.into(), ..self }
    }

    async fn shell(&self, bench: &Workbench) -> Result<Shell, ToolboxError> {
        let marker: Marker = bench.marker.parse().map_err(failed("read the worker's marker"))?;
        let scratch = match bench.temporary.clone() {
            Some(given) => Scratch::given(given),
            None => {
                let temporary = self.temporary.clone();
                let created = blocking(move || Scratch::create_in(&temporary)).await;
                created.map_err(failed("make a directory for temporary files"))?
            }
        };
        let mut writable = vec![bench.working_dir.clone(), scratch.path().to_owned()];
        writable.extend(bench.writable.iter().cloned());
        let level = self.sandbox.level(writable).map_err(failed("set up the shell"))?;
        Shell::new(self.environment.clone(), bench.working_dir.clone(), marker, level, scratch)
            .map_err(failed("set up the shell"))
    }
}

#[async_trait]
impl Toolbox for ToolSet {
    fn missing(&self, capability: &Capability) -> Option<String> {
        match capability {
            Capability::Shell => self.sandbox.level(Vec::new()).err().map(|error| error.to_string()),
            // There is no tool that would need it; what its absence forbids is for backends.
            Capability::Network => None,
            Capability::Read | Capability::Write => None,
            Capability::Mcp(server) => Some(format!("no MCP server `{server}` is configured")),
        }
    }

    async fn tools(&self, bench: Workbench) -> Result<Toolkit, ToolboxError> {
        let allows = |capability| bench.capabilities.contains(&capability);
        let mut kit = Toolkit::default();
        let root = bench.working_dir.clone();
        let workspace = blocking(move || Workspace::open(&root)).await;
        let workspace = Arc::new(workspace.map_err(failed("open the working directory"))?);
        if allows(Capability::Read) {
            kit.tools.extend(files::readers(&workspace));
        }
        if allows(Capability::Write) {
            kit.tools.extend(files::writers(&workspace));
        }
        if allows(Capability::Shell) {
            let shell = self.shell(&bench).await?;
            kit.sandbox = Some(shell.level().name().to_owned());
            if (self.sandbox, shell.level()) == (Sandbox::Auto, &Level::None) {
                kit.diagnostics.push(ToolDiagnostic {
                    code: "tools.no_sandbox".to_owned(),
                    message: "this kernel has no Landlock: commands may write wherever the server's user may"
                        .to_owned(),
                });
            }
            kit.tools.push(Arc::new(shell));
        }
        Ok(kit)
    }
}

/// Names an attempt that failed.
fn failed<E: Error + Send + Sync + 'static>(attempt: &'static str) -> impl FnOnce(E) -> ToolboxError {
    move |source| ToolboxError { message: attempt.to_owned(), source: Box::new(source) }
}

/// Runs something that looks at the file system once.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}
