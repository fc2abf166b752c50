//! Tools on files of a worker's directories: what they have in common.

mod edit;
mod listing;
mod read;
mod replace;
mod search;
mod write;

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use musher_backend::{Tool, ToolCall, ToolOutput, ToolSpec, async_trait};
use musher_protocol::Capability;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::{task, time};

use crate::{arguments, directories::Directories, refusal::Refusal};

/// Local files take milliseconds; a large tree that is searched the first time takes seconds. What takes longer
/// hangs, e.g. on a network that is gone.
const LIMIT: Duration = Duration::from_secs(60);

/// Work that was told to stop looks at that between two reads. One that the system does not let go is left behind:
/// its thread ends when the system lets it.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A tool whose work blocks.
struct FileTool<A> {
    spec: ToolSpec,
    directories: Arc<Directories>,
    work: fn(&Directories, A, &Stop) -> Result<ToolOutput, Refusal>,
}

/// The tools that only look.
pub(crate) fn readers(directories: &Arc<Directories>) -> Vec<Arc<dyn Tool>> {
    vec![
        tool(directories, "read_file", read::DESCRIPTION, Capability::Read, read::work),
        tool(directories, "list_directory", listing::DESCRIPTION, Capability::Read, listing::work),
        tool(directories, "search", search::DESCRIPTION, Capability::Read, search::work),
    ]
}

/// The tools that change files.
pub(crate) fn writers(directories: &Arc<Directories>) -> Vec<Arc<dyn Tool>> {
    vec![
        tool(directories, "write_file", write::DESCRIPTION, Capability::Write, write::work),
        tool(directories, "edit_file", edit::DESCRIPTION, Capability::Write, edit::work),
    ]
}

fn tool<A: DeserializeOwned + JsonSchema + 'static>(
    directories: &Arc<Directories>,
    name: &str,
    description: &str,
    capability: Capability,
    work: fn(&Directories, A, &Stop) -> Result<ToolOutput, Refusal>,
) -> Arc<dyn Tool> {
    let spec = ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema: arguments::schema::<A>(),
        is_read_only: capability == Capability::Read,
        capability,
        limit: LIMIT + STOP_GRACE,
    };
    Arc::new(FileTool { spec, directories: directories.clone(), work })
}

#[async_trait]
impl<A: DeserializeOwned + 'static> Tool for FileTool<A> {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, call: ToolCall) -> ToolOutput {
        let ToolCall { input, mut cancellation, .. } = call;
        // Dropped with this future, it stops the work.
        let stopping = Stopping(Stop::default());
        let (stop, directories, work) = (stopping.0.clone(), self.directories.clone(), self.work);
        let mut working = task::spawn_blocking(move || {
            arguments::parse(input).and_then(|arguments| work(&directories, arguments, &stop))
        });
        let reason = tokio::select! {
            done = &mut working => return told(done, ""),
            () = cancellation.comes() => "the call was canceled".to_owned(),
            () = time::sleep(LIMIT) => format!("it took longer than its limit of {} s", LIMIT.as_secs()),
        };
        stopping.0.stop();
        match time::timeout(STOP_GRACE, working).await {
            Ok(done) => told(done, &reason),
            Err(_) => ToolOutput::error(format!(
                "{reason}, and the file system does not answer; whether anything was changed is unknown"
            )),
        }
    }
}

impl<A> fmt::Debug for FileTool<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTool").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

/// What the model is told of work that is done, or was stopped for a reason.
fn told(done: Result<Result<ToolOutput, Refusal>, task::JoinError>, reason: &str) -> ToolOutput {
    match done {
        Ok(Ok(output)) => output,
        Ok(Err(Refusal::Stopped)) => ToolOutput::error(format!("{reason}; nothing was changed")),
        Ok(Err(refusal)) => refusal.output(),
        Err(error) => {
            tracing::error!(%error, "a file tool has panicked");
            ToolOutput::error(
                "the tool failed in a way that it should not; whether anything was changed is unknown",
            )
        }
    }
}

/// Tells blocking work that it is no longer wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// To be asked before each step that takes time.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.0.load(Ordering::Relaxed) { Err(Refusal::Stopped) } else { Ok(()) }
    }

    /// The same inside of a reader.
    pub(crate) fn check_io(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }
}

struct Stopping(Stop);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests;
