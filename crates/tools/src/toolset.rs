//! The tools of this crate, put together for a session.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fs, io, mem,
    path::PathBuf,
    sync::Arc,
};

use futures_util::future::join_all;
use musher_backend::{
    Access, Sandbox, Tool, ToolDiagnostic, Toolbox, ToolboxError, Toolkit, Workbench, async_trait,
};
use musher_process::{Environment, Marker};
use musher_protocol::Capability;
use rmcp::ServerHandler;
use tokio::task;

use crate::{
    directories::Directories,
    files,
    mcp::{self, Got, McpServer, Source},
    sandbox::Level,
    scratch::Scratch,
    shell::Shell,
};

/// A toolbox: files of the workspace, a shell, and what is added to it.
///
/// It holds nothing open. Each session gets tools of its own, which end what they started when they are dropped.
#[derive(Clone, Debug)]
pub struct ToolSet {
    environment: Environment,
    temporary: PathBuf,
    servers: BTreeMap<String, Source>,
    others: Vec<Arc<dyn Tool>>,
}

impl ToolSet {
    /// The workspace tools: `read_file`, `list_directory` and `search` for [`Capability::Read`], `write_file` and
    /// `edit_file` for [`Capability::Write`], `shell` for [`Capability::Shell`].
    #[must_use]
    pub fn workspace() -> Self {
        Self {
            environment: Environment::base(),
            temporary: env::temp_dir(),
            servers: BTreeMap::new(),
            others: Vec::new(),
        }
    }

    /// What commands of the shell find in their environment, besides TMPDIR, TERM and the marker; unless this is
    /// called, [`Environment::base`].
    #[must_use]
    pub fn with_environment(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    /// Where a session gets a directory for temporary files that was given none ([`Workbench::temporary`]); the
    /// system's place unless this is called.
    #[must_use]
    pub fn with_temporary_in(self, directory: impl Into<PathBuf>) -> Self {
        Self { temporary: directory.into(), ..self }
    }

    /// Adds an MCP server for workers with the capability `mcp:<name>`, in place of an earlier one of this name. Its
    /// tools are called `<name>__<tool>`.
    #[must_use]
    pub fn with_server(mut self, name: impl Into<String>, server: McpServer) -> Self {
        self.servers.insert(name.into(), Source::Server(server));
        self
    }

    /// Adds a service of this program as if it were an MCP server: for workers with the capability `mcp:<name>`, its
    /// tools called `<name>__<tool>`, without a process or a port. All sessions share it.
    #[must_use]
    pub fn with_service(mut self, name: impl Into<String>, service: impl ServerHandler) -> Self {
        self.servers.insert(name.into(), Source::Service(mcp::erase(service)));
        self
    }

    /// Adds a tool of this program, for workers with its capability.
    #[must_use]
    pub fn with_tool(mut self, tool: Arc<dyn Tool>) -> Self {
        self.others.push(tool);
        self
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
        let own = [bench.working_dir.clone(), scratch.path().to_owned()];
        let own = blocking(move || own.iter().map(fs::canonicalize).collect::<io::Result<Vec<_>>>()).await;
        let mut writable = own.map_err(failed("set up the shell"))?;
        let changed = bench.roots.iter().filter(|root| root.access == Access::ReadWrite);
        writable.extend(changed.map(|root| root.path.clone()));
        writable.extend(bench.writable.iter().cloned());
        let level = Level::of(bench.sandbox, writable).map_err(failed("set up the shell"))?;
        let given = bench.writable.clone();
        let mut environment = self.environment.clone();
        for name in &bench.pass_env {
            // What the host does not have the command does not get.
            let _is_there = environment.pass(name).map_err(failed("set up the shell"))?;
        }
        Shell::new(environment, bench.working_dir.clone(), marker, level, given, scratch)
            .map_err(failed("set up the shell"))
    }
}

#[async_trait]
impl Toolbox for ToolSet {
    fn missing(&self, capability: &Capability, sandbox: Sandbox) -> Option<String> {
        match capability {
            Capability::Shell => Level::of(sandbox, Vec::new()).err().map(|error| error.to_string()),
            // There is no tool that would need it; what its absence forbids is for backends.
            Capability::Network => None,
            Capability::Read | Capability::Write => None,
            Capability::Mcp(server) => match self.servers.get(server) {
                Some(source) => source.missing(server),
                None => Some(format!("no MCP server `{server}` is configured")),
            },
        }
    }

    async fn tools(&self, bench: Workbench) -> Result<Toolkit, ToolboxError> {
        let allows = |capability| bench.capabilities.contains(&capability);
        let mut kit = Toolkit::default();
        let (working_dir, roots) = (bench.working_dir.clone(), bench.roots.clone());
        let directories = blocking(move || Directories::open(&working_dir, &roots)).await;
        let directories = Arc::new(directories.map_err(failed("open the worker's directories"))?);
        if allows(Capability::Read) {
            kit.tools.extend(files::readers(&directories));
        }
        if allows(Capability::Write) {
            kit.tools.extend(files::writers(&directories));
        }
        if allows(Capability::Shell) {
            let shell = self.shell(&bench).await?;
            kit.sandbox = Some(shell.level().name().to_owned());
            if (bench.sandbox, shell.level()) == (Sandbox::Auto, &Level::None) {
                kit.diagnostics.push(ToolDiagnostic {
                    code: "tools.no_sandbox".to_owned(),
                    message: "this kernel has no Landlock: commands may write wherever the server's user may"
                        .to_owned(),
                });
            }
            kit.tools.push(Arc::new(shell));
        }
        let others = self.others.iter().filter(|tool| bench.capabilities.contains(&tool.spec().capability));
        kit.tools.extend(others.cloned());
        let allowed = self.servers.iter().filter(|(name, _)| allows(Capability::Mcp(name.to_string())));
        // Beside each other: a session waits for the slowest server, not for their sum.
        let got = join_all(allowed.map(|(name, source)| source.tools(name, &bench))).await;
        for Got { tools, diagnostics } in got {
            kit.tools.extend(tools);
            kit.diagnostics.extend(diagnostics);
        }
        Ok(without_doubles(kit))
    }
}

/// Leaves out a tool whose name an earlier one has: a vendor refuses the whole request for it.
fn without_doubles(mut kit: Toolkit) -> Toolkit {
    let mut names = BTreeSet::new();
    for tool in mem::take(&mut kit.tools) {
        let name = tool.spec().name.clone();
        if names.insert(name.clone()) {
            kit.tools.push(tool);
        } else {
            let message = format!("another tool is called `{name}`, too; it is left out");
            kit.diagnostics.push(ToolDiagnostic { code: "tools.name_taken".to_owned(), message });
        }
    }
    kit
}

/// Names an attempt that failed.
fn failed<E: Error + Send + Sync + 'static>(attempt: &'static str) -> impl FnOnce(E) -> ToolboxError {
    move |source| ToolboxError { message: attempt.to_owned(), source: Box::new(source) }
}

/// Runs something that looks at the file system once.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other)?
}
