//! What the tests of this crate share: a workspace inside of a directory, and a session's tools in it.

use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use musher_backend::{
    Access, Cancellation, Root, Sandbox, Tool, ToolCall, ToolOutput, Toolbox, Toolkit, Workbench,
};
use musher_process::{Marker, Owner};
use musher_protocol::Capability;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time;

use crate::ToolSet;

/// Longer than anything here takes on a loaded machine; a test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    outside: TempDir,
    pub(crate) marker: Marker,
    pub(crate) kit: Toolkit,
}

impl Scene {
    /// A session that may do everything that the workspace tools can.
    pub(crate) async fn new() -> Self {
        Self::of(ToolSet::workspace(), &["read", "write", "shell"]).await
    }

    pub(crate) async fn of(set: ToolSet, capabilities: &[&str]) -> Self {
        Self::beside(set, capabilities, &[]).await
    }

    /// The same with directories beside the workspace where processes may write, too.
    pub(crate) async fn beside(set: ToolSet, capabilities: &[&str], writable: &[&str]) -> Self {
        Self::with(set, capabilities, writable, None).await
    }

    /// A session whose workspace declares variables.
    pub(crate) async fn passing(pass_env: &[&str]) -> Self {
        Self::open(ToolSet::workspace(), &["shell"], &[], None, Sandbox::Auto, pass_env, &[]).await
    }

    /// One with a directory for temporary files, which is there.
    pub(crate) async fn with(
        set: ToolSet,
        capabilities: &[&str],
        writable: &[&str],
        temporary: Option<PathBuf>,
    ) -> Self {
        Self::open(set, capabilities, writable, temporary, Sandbox::Auto, &[], &[]).await
    }

    /// A session with a shell in this sandbox.
    pub(crate) async fn held_by(sandbox: Sandbox) -> Self {
        Self::open(ToolSet::workspace(), &["shell"], &[], None, sandbox, &[], &[]).await
    }

    /// A session that has directories besides its workspace, which are beside it, too.
    pub(crate) async fn among(roots: &[(&str, Access)]) -> Self {
        let capabilities = &["read", "write", "shell"];
        Self::open(ToolSet::workspace(), capabilities, &[], None, Sandbox::Landlock, &[], roots).await
    }

    async fn open(
        set: ToolSet,
        capabilities: &[&str],
        writable: &[&str],
        temporary: Option<PathBuf>,
        sandbox: Sandbox,
        pass_env: &[&str],
        roots: &[(&str, Access)],
    ) -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("workspace")).unwrap();
        let writable: Vec<_> = writable.iter().map(|name| outside.path().join(name)).collect();
        for directory in &writable {
            fs::create_dir(directory).unwrap();
        }
        let roots = roots.iter().map(|(name, access)| {
            let path = outside.path().join(name);
            fs::create_dir_all(&path).unwrap();
            Root { path: path.canonicalize().unwrap(), access: *access }
        });
        let roots = roots.collect();
        let marker = Marker::new(owner(), "worker").unwrap();
        let bench = Workbench {
            worker_id: "wrk_1".parse().unwrap(),
            marker: marker.to_string(),
            working_dir: outside.path().join("workspace"),
            temporary,
            roots,
            writable,
            pass_env: pass_env.iter().map(|name| (*name).to_owned()).collect(),
            capabilities: capabilities
                .iter()
                .map(|name| name.parse::<Capability>().unwrap())
                .collect::<BTreeSet<_>>(),
            sandbox,
        };
        let kit = soon(set.tools(bench)).await.unwrap();
        Self { outside, marker, kit }
    }

    /// The directory around the workspace, where no tool may write.
    pub(crate) fn outside(&self) -> &Path {
        self.outside.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.outside.path().join("workspace").join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        String::from_utf8(fs::read(self.path(path)).unwrap()).unwrap()
    }

    /// Everything that is in the workspace, with `/` at the end of directories.
    pub(crate) fn files(&self) -> Vec<String> {
        let root = self.path("");
        let mut found = Vec::new();
        let mut left = vec![root.clone()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path().strip_prefix(&root).unwrap().display().to_string();
                if entry.file_type().unwrap().is_dir() {
                    left.push(entry.path());
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    pub(crate) fn tool(&self, name: &str) -> Arc<dyn Tool> {
        let mut tools = self.kit.tools.iter();
        tools.find(|tool| tool.spec().name == name).unwrap_or_else(|| panic!("no tool {name}")).clone()
    }

    pub(crate) async fn call(&self, name: &str, input: Value) -> ToolOutput {
        let (_wanted, cancellation) = Cancellation::pair();
        soon(self.tool(name).call(call(input, cancellation))).await
    }

    /// What a tool answers that does what it was asked.
    pub(crate) async fn ok(&self, name: &str, input: Value) -> String {
        let output = self.call(name, input.clone()).await;
        assert!(!output.is_error, "{name} {input}: {}", output.content);
        output.content
    }

    /// What a tool answers that does not.
    pub(crate) async fn refused(&self, name: &str, input: Value) -> String {
        let output = self.call(name, input.clone()).await;
        assert!(output.is_error, "{name} {input}: {}", output.content);
        output.content
    }
}

pub(crate) fn call(input: Value, cancellation: Cancellation) -> ToolCall {
    ToolCall { tool_call_id: "call_1".parse().unwrap(), input, cancellation }
}

/// An owner that no other test has, nor an earlier run of this one.
fn owner() -> Owner {
    static N_OWNERS: AtomicU32 = AtomicU32::new(0);
    let n = N_OWNERS.fetch_add(1, Ordering::Relaxed);
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    Owner::new(format!("test-{}-{n}-{nanos}", process::id())).unwrap()
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    time::timeout(PATIENCE, future).await.expect("nothing here takes so long")
}

/// Looks until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let look = async {
        while !holds() {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(time::timeout(PATIENCE, look).await.is_ok(), "never came true: {what}");
}

/// The pids of the processes that carry a marker, or a part's of it.
pub(crate) fn marked(marker: &Marker) -> Vec<String> {
    let wanted = format!("MUSHER_MARKER={marker}");
    let carries = |pid: &String| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environ.split(|&byte| byte == 0);
        variables.any(|variable| {
            let rest = variable.strip_prefix(wanted.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    };
    let names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(carries).collect()
}
