//! A server that is a process of the session.

use std::time::Duration;

use musher_backend::Workbench;
use musher_process::{Child, Environment, Error, Marker, PipeCommand, Program, Spawned};
use rmcp::{RoleClient, transport::async_rw::AsyncRwTransport};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::{Receiver, Sender},
    sync::watch,
    task::JoinSet,
    time,
};
use uuid::Uuid;

use crate::remains::Remains;

/// The last words that belong into an error message.
const TAIL: usize = 2048;

/// What a pipe gives at once.
const BUFFER: usize = 4096;

/// One message, as large as the largest body that a log takes.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// The stderr of a process that has ended is at its end, unless a child of it holds it.
const WORDS_LIMIT: Duration = Duration::from_secs(1);

/// The two pipes that a server speaks on.
pub(super) type Stdio = AsyncRwTransport<RoleClient, Receiver, Sender>;

/// The process. Dropping this ends it, and everything that it started.
#[derive(Debug)]
pub(super) struct ServerProcess {
    _child: Child,
    _remains: Remains,
    /// The end of what it wrote to stderr, once that has ended.
    words: watch::Receiver<Option<String>>,
    /// Reads stderr, so that the server never waits for a reader.
    _listening: JoinSet<()>,
}

impl ServerProcess {
    pub(super) async fn start(
        program: &str,
        args: &[String],
        environment: &Environment,
        server: &str,
        bench: &Workbench,
    ) -> Result<(Self, Stdio), Error> {
        let marker: Marker = bench.marker.parse()?;
        // A part: a command that is ended must not take the server with it, nor the other way round.
        let marker = marker.part(format!("mcp-{server}-{}", Uuid::new_v4().simple()))?;
        let command = PipeCommand {
            program: Program::find(program, environment)?,
            args: args.iter().map(Into::into).collect(),
            environment: environment.clone(),
            directory: bench.working_dir.clone(),
            marker: marker.clone(),
            confinement: None,
        };
        let remains = Remains::of(marker);
        let Spawned { child, stdin, stdout, stderr } = command.spawn().await?;
        let (last, words) = watch::channel(None);
        let mut listening = JoinSet::new();
        let server = server.to_owned();
        listening.spawn(async move {
            let words = listen(stderr, &server).await;
            // Nobody wants them when the server was ended by us.
            drop(last.send(Some(words)));
        });
        let stdio = AsyncRwTransport::new(stdout, stdin).with_max_line_length(MESSAGE_LIMIT);
        Ok((Self { _child: child, _remains: remains, words, _listening: listening }, stdio))
    }

    /// What it said at last, if it has ended.
    pub(super) async fn last_words(&self) -> String {
        let mut words = self.words.clone();
        let said = time::timeout(WORDS_LIMIT, words.wait_for(Option::is_some)).await;
        match said {
            Ok(Ok(words)) => words.clone().unwrap_or_default(),
            // It still runs, or a child of it does.
            Ok(Err(_)) | Err(_) => String::new(),
        }
    }
}

/// Reads all that a server writes to stderr, and returns the end of it.
async fn listen(mut stderr: Receiver, server: &str) -> String {
    let mut tail = Vec::new();
    let mut buffer = [0; BUFFER];
    loop {
        match stderr.read(&mut buffer).await {
            Ok(0) => break,
            Ok(n) => tail.extend_from_slice(&buffer[..n]),
            Err(error) => {
                tracing::debug!(server, %error, "the stderr of an MCP server cannot be read on");
                break;
            }
        }
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    String::from_utf8_lossy(&tail).trim().to_owned()
}
