//! What a session starts with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use musher_protocol::{Capability, SessionId, TranscriptEntry, WorkerId};
use serde_json::{Map, Value};

use crate::Tool;

/// Everything that a session starts with, resolved.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The worker.
    pub worker_id: WorkerId,
    /// The value of `MUSHER_MARKER` in the environment of every process of the worker.
    pub marker: String,
    /// Where the worker works: absolute, and there.
    pub working_dir: PathBuf,
    /// The directories that it has besides.
    pub roots: Vec<Root>,
    /// Where processes of the worker's tools may write besides ([`crate::Workbench::writable`]).
    pub writable: Vec<PathBuf>,
    /// Variables of the host's that the worker's processes get, too, where the host has them.
    pub pass_env: Vec<String>,
    /// A private directory for temporary files, removed when nothing of the session runs any more; the host's is
    /// used when absent.
    pub temporary: Option<PathBuf>,
    /// What to add to the vendor's own instructions.
    pub instructions: Option<String>,
    /// The model asked for; the backend's default when absent.
    pub model: Option<String>,
    /// What the worker may do; what is not here must be impossible, not only unasked.
    pub capabilities: BTreeSet<Capability>,
    /// The tools that the model may call, all of them within the capabilities; only for a backend that calls tools of
    /// ours ([`crate::Capabilities::tools`]).
    pub tools: Vec<Arc<dyn Tool>>,
    /// What holds the processes of those tools ([`crate::Toolkit::sandbox`]); absent when they start none.
    pub sandbox: Option<String>,
    /// Whether tasks may go on behind a turn's end.
    pub background: bool,
    /// What a new session is told before its first input, as a part of that: what was said in a session that is gone.
    pub preface: Option<String>,
    /// What the profile says to this backend alone, e.g. the script of a scripted one.
    pub options: Map<String, Value>,
    /// The session to continue; a new one when absent. Never given to a backend that cannot resume.
    pub resume: Option<Resume>,
    /// What was said and done in earlier sessions of the worker, oldest first, rebuilt from its log.
    pub history: Vec<HistoryEntry>,
    /// What the backend kept in earlier sessions ([`crate::Link::keep`]), by name.
    pub kept: BTreeMap<String, Vec<u8>>,
}

/// A directory that a worker has besides its working directory: it is told the path, and may use it in its tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Absolute, without links, and there.
    pub path: PathBuf,
    /// What the worker may do in it, whatever its capabilities are.
    pub access: Access,
}

/// What a worker may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look: no tool and no command of the worker writes, adds, renames or removes a file in it. Modes, owners and times of
    /// files that belong to its user are another matter, for which Landlock has no word.
    ReadOnly,
    /// What it may do in its working directory.
    ReadWrite,
}

/// Something that was said or done in an earlier session.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// What everybody can read of it. Whole: long texts are not cut here. Of a tool's output it is what the model was
    /// told ([`crate::ToolOutput::content`]), never more.
    pub entry: TranscriptEntry,
    /// What the backend reported beside the event that made it ([`crate::Link::emit_with`]).
    pub private: Option<Value>,
}

/// A session to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The session.
    pub session_id: SessionId,
}

impl Launch {
    /// A launch with nothing but a worker and its directory, and every capability of backends themselves.
    #[must_use]
    pub fn new(worker_id: WorkerId, working_dir: PathBuf) -> Self {
        let marker = format!("none/{worker_id}");
        Self {
            worker_id,
            marker,
            working_dir,
            roots: Vec::new(),
            writable: Vec::new(),
            pass_env: Vec::new(),
            temporary: None,
            instructions: None,
            model: None,
            capabilities: BTreeSet::from([
                Capability::Read,
                Capability::Write,
                Capability::Shell,
                Capability::Network,
            ]),
            tools: Vec::new(),
            sandbox: None,
            background: false,
            preface: None,
            options: Map::new(),
            resume: None,
            history: Vec::new(),
            kept: BTreeMap::new(),
        }
    }
}
