//! One session: a running program, driven from its first line to its end.
//!
//! One task owns everything. It waits for whatever comes next, lets the [`Conversation`] decide, and does what
//! that says. While the runtime is behind, nothing is read, so that the program waits, too.

mod ending;
mod pipes;
mod stdin;
mod tail;

use std::{collections::BTreeMap, time::Duration};

use musher_backend::{BackendError, Command, DecisionGiven, Event, Link, LinkClosed, SessionOutcome};
use musher_process::{Child, Exit, Spawned};
use musher_protocol::ApprovalId;
use tempfile::TempPath;
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    ending::Ending,
    pipes::{Chunk, Pipes},
    stdin::Stdin,
};
use crate::{
    conversation::{Conversation, Output, Refusal},
    framing::LineTooLong,
    invocation::{self, Invocation},
    recording::{self, Recorder, Recording, Tap},
    roots::Roots,
};

/// A program that ended has written all it will; only what it left running may hold its pipes open.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Often enough for the runtime's inactivity limit, which counts in seconds, and seldom enough for its queue.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Servers answer within seconds: soon enough for who waits, and seldom enough for the program.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The program gives a server 30 s; this is longer, so that it can say why it has none.
const SERVERS_LIMIT: Duration = Duration::from_secs(35);

/// How long a program may take for what it should do at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// To show that it works.
    pub(crate) start: Duration,
    /// To end when its input does.
    pub(crate) exit: Duration,
}

/// Runs a session to its end.
pub(crate) async fn run(
    invocation: Invocation,
    told: Option<TempPath>,
    recording: Option<Recording>,
    link: Link,
    limits: Limits,
) -> Result<SessionOutcome, BackendError> {
    let Invocation { command, session_id, opening, roots } = invocation;
    let continuing = invocation::continuing(&command, &session_id);
    // Nothing was started: there is nobody to tell and nothing to clean up.
    let Ok(()) = link.session_started(session_id, opening.is_resumed).await else {
        return Ok(SessionOutcome::aborted());
    };
    let start = |error| BackendError::new("claude_not_started", "start Claude Code", error);
    let spawned = command.spawn().await.map_err(start)?;
    let recorder = recording.map(Recorder::start);
    let (mut child, mut session) =
        Session::begin(link, recorder, Conversation::new(opening), roots, told, limits, spawned);
    let mut ended = session.live(&mut child).await;
    // The program has this session already: an earlier start got further than anybody knows. So it is continued.
    if let (Ok(exit), Some(command)) = (&ended, continuing)
        && session.id_is_in_use(*exit)
    {
        let spawned = match command.spawn().await {
            Ok(spawned) => spawned,
            Err(error) => {
                session.finish_recording(*exit).await;
                return Err(start(error));
            }
        };
        let Session { link, recorder, mut conversation, roots, told, .. } = session;
        conversation.continues_a_session();
        (child, session) = Session::begin(link, recorder, conversation, roots, told, limits, spawned);
        ended = session.live(&mut child).await;
    }
    match ended {
        Ok(exit) => {
            session.finish_recording(exit).await;
            Ok(session.outcome(exit))
        }
        Err(failure) => session.fail(&mut child, failure).await,
    }
}

/// Everything but the process itself, which is waited for and ended beside it.
struct Session {
    link: Link,
    /// What writes down all that goes over the pipes, when somebody wants it.
    recorder: Option<Recorder>,
    stdin: Stdin,
    pipes: Pipes,
    conversation: Conversation,
    roots: Roots,
    /// What the program is told of MCP servers, until it has read that.
    told: Option<TempPath>,
    /// How long messages wait for MCP servers, while they do.
    looks: Option<Looks>,
    /// The program's ids of the questions that are open.
    approvals: BTreeMap<ApprovalId, String>,
    /// How the program ended, once it has.
    exit: Option<Exit>,
    /// The runtime has asked for the session's end.
    ending: Option<Ending>,
    /// When what is being waited for must have come.
    deadline: Option<Instant>,
    limits: Limits,
    last_alive: Option<Instant>,
}

/// Why a session cannot go on.
#[derive(Debug)]
enum Failure {
    /// Nobody listens any more.
    LinkClosed,
    Silent,
    Refused(Refusal),
    Framing(LineTooLong),
    Process(musher_process::Error),
}

impl From<LinkClosed> for Failure {
    fn from(_: LinkClosed) -> Self {
        Self::LinkClosed
    }
}

impl From<LineTooLong> for Failure {
    fn from(error: LineTooLong) -> Self {
        Self::Framing(error)
    }
}

impl From<musher_process::Error> for Failure {
    fn from(error: musher_process::Error) -> Self {
        Self::Process(error)
    }
}

/// What comes next.
enum Happened {
    Command(Command),
    Read(Chunk),
    /// Something was written, or cannot be.
    Written,
    Exited(Result<Exit, musher_process::Error>),
    Deadline,
    /// It is time to look for MCP servers.
    Look,
}

/// When to look for MCP servers again, and when for the last time.
#[derive(Clone, Copy, Debug)]
struct Looks {
    next: Instant,
    by: Instant,
}

impl Session {
    fn begin(
        link: Link,
        recorder: Option<Recorder>,
        conversation: Conversation,
        roots: Roots,
        told: Option<TempPath>,
        limits: Limits,
        spawned: Spawned,
    ) -> (Child, Self) {
        let Spawned { child, stdin, stdout, stderr } = spawned;
        let tap = recorder.as_ref().map_or_else(Tap::default, Recorder::tap);
        let mut session = Self {
            link,
            recorder,
            stdin: Stdin::new(stdin, tap.clone()),
            pipes: Pipes::new(stdout, stderr, tap),
            conversation,
            roots,
            told,
            looks: None,
            approvals: BTreeMap::new(),
            exit: None,
            ending: None,
            deadline: Some(Instant::now() + limits.start),
            limits,
            last_alive: None,
        };
        session.stdin.push(session.conversation.greeting());
        (child, session)
    }

    /// Whether the program refused to begin the session because it has it.
    fn id_is_in_use(&self, exit: Option<Exit>) -> bool {
        let said = self.pipes.stderr_tail().unwrap_or_default();
        self.ending.is_none()
            && !self.conversation.is_ready()
            && exit.is_some_and(|exit| exit.code == Some(1))
            && said.contains("is already in use")
    }

    /// From the first line to the end of every process; returns how the program ended.
    async fn live(&mut self, child: &mut Child) -> Result<Option<Exit>, Failure> {
        self.talk(child).await?;
        let ended = self.end(child).await?;
        if !ended.survivors.is_empty() {
            tracing::warn!(survivors = ?ended.survivors, "processes of Claude Code cannot be ended");
        }
        let outputs = self.conversation.over();
        self.perform(outputs).await?;
        Ok(self.exit.or(ended.exit))
    }

    /// Until the program has ended, or must be made to.
    async fn talk(&mut self, child: &mut Child) -> Result<(), Failure> {
        loop {
            match self.next(child).await {
                Happened::Command(command) => self.command(command).await?,
                Happened::Read(chunk) => self.read(chunk).await?,
                Happened::Written => {}
                Happened::Exited(exit) => {
                    self.exit = Some(exit?);
                    self.deadline = Some(Instant::now() + DRAIN_LIMIT);
                }
                Happened::Deadline if self.is_starting() => return Err(Failure::Silent),
                Happened::Deadline => return Ok(()),
                Happened::Look => self.look().await?,
            }
            self.pursue_servers();
            if let Some(failure) = self.recorder.as_mut().and_then(Recorder::failure) {
                self.recorder = None;
                self.link.emit(recording::remark(&failure)).await?;
            }
            if self.exit.is_some() && self.pipes.are_over() {
                return Ok(());
            }
            self.pursue_ending();
        }
    }

    async fn next(&mut self, child: &mut Child) -> Happened {
        let Self { link, stdin, pipes, exit, deadline, looks, .. } = self;
        let reads = stdin.has_room();
        let timer = at(*deadline);
        let look = at(looks.map(|looks| looks.next.min(looks.by)));
        tokio::select! {
            command = link.next_command() => Happened::Command(command),
            chunk = pipes.read(reads) => Happened::Read(chunk),
            written = stdin.write() => {
                if let Err(error) = written {
                    tracing::debug!(%error, "Claude Code reads no more");
                }
                Happened::Written
            }
            exited = child.wait(), if exit.is_none() => Happened::Exited(exited),
            () = timer => Happened::Deadline,
            () = look => Happened::Look,
        }
    }

    /// Whether the program has yet to show that it works.
    fn is_starting(&self) -> bool {
        !self.conversation.is_ready() && self.is_undisturbed() && !self.pipes.stdout_is_over()
    }

    /// Whether neither the program nor the runtime has begun to end the session.
    fn is_undisturbed(&self) -> bool {
        self.exit.is_none() && self.ending.is_none()
    }

    /// Whether servers are waited for, and when they are looked for again.
    fn pursue_servers(&mut self) {
        if !self.conversation.awaits_servers() {
            self.looks = None;
        } else if self.looks.is_none() {
            let now = Instant::now();
            self.looks = Some(Looks { next: now + LOOK_INTERVAL, by: now + SERVERS_LIMIT });
        }
    }

    /// Looks for servers, or waits for them no longer.
    async fn look(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let Some(looks) = &mut self.looks else { return Ok(()) };
        looks.next = now + LOOK_INTERVAL;
        let outputs = if now >= looks.by {
            self.conversation.give_up_servers()
        } else {
            self.conversation.look_for_servers().into_iter().collect()
        };
        self.perform(outputs).await
    }

    async fn command(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Input(input) => {
                let outputs = self.conversation.input(&input, Uuid::new_v4());
                self.perform(outputs).await
            }
            Command::Interrupt => {
                let outputs = self.conversation.interrupt();
                self.perform(outputs).await
            }
            Command::Decision(DecisionGiven { approval_id, verdict }) => {
                let Some(request_id) = self.approvals.remove(&approval_id) else { return Ok(()) };
                // What was asked was looked at; a person may have changed it, and others the files, since.
                let refusal = match self.conversation.would_run(&request_id, &verdict) {
                    Some((tool, input)) => self.roots.refusal(tool, input).await,
                    None => None,
                };
                if let Some(why) = refusal {
                    return self.refuse(&request_id, &why).await;
                }
                let answer = self.conversation.decide(&request_id, verdict);
                self.perform(answer).await
            }
            Command::End { grace } => {
                let outputs = self.begin_ending(grace);
                self.perform(outputs).await
            }
            Command::Steer(_) => {
                tracing::warn!("an input to steer with was left out: the program cannot be steered");
                Ok(())
            }
        }
    }

    async fn read(&mut self, chunk: Chunk) -> Result<(), Failure> {
        match chunk {
            Chunk::Stdout => self.read_lines().await,
            Chunk::StdoutOver => self.finish_reading().await,
            Chunk::Stderr => Ok(()),
        }
    }

    /// Takes the lines that have just come.
    async fn read_lines(&mut self) -> Result<(), Failure> {
        let was_ready = self.conversation.is_ready();
        let mut is_silent = true;
        while let Some(line) = self.pipes.line()? {
            let outputs = self.conversation.line(line);
            is_silent &= !outputs.iter().any(|output| matches!(output, Output::Event(_)));
            self.perform(outputs).await?;
        }
        if !was_ready && self.conversation.is_ready() {
            // The program has read it. No tool of the worker's may.
            self.told = None;
            if self.is_undisturbed() {
                self.deadline = None;
            }
        }
        let now = Instant::now();
        if is_silent && self.last_alive.is_none_or(|last| now - last >= ALIVE_INTERVAL) {
            self.last_alive = Some(now);
            self.link.emit(Event::Alive).await?;
        }
        Ok(())
    }

    /// Stdout is over: a last line may lack its end.
    async fn finish_reading(&mut self) -> Result<(), Failure> {
        if let Some(line) = self.pipes.rest() {
            let outputs = self.conversation.line(&line);
            self.perform(outputs).await?;
        }
        if self.exit.is_none() {
            // A program that says nothing more is about to end; one that is not is of no use.
            let by = Instant::now() + DRAIN_LIMIT;
            self.deadline = Some(self.deadline.map_or(by, |deadline| deadline.min(by)));
        }
        Ok(())
    }

    async fn perform(&mut self, outputs: impl IntoIterator<Item = Output>) -> Result<(), Failure> {
        for output in outputs {
            match output {
                Output::Event(event) => self.link.emit(event).await?,
                Output::Ask { request_id, request } => {
                    if let Some(why) = self.roots.refusal(&request.tool, &request.input).await {
                        self.refuse(&request_id, &why).await?;
                        continue;
                    }
                    let approval_id = self.link.request_approval(request).await?;
                    self.approvals.insert(approval_id, request_id);
                }
                Output::Withdraw { request_id } => {
                    let asked = self.approvals.iter().find(|(_, asked)| **asked == request_id);
                    if let Some(approval_id) = asked.map(|(approval_id, _)| approval_id.clone()) {
                        self.approvals.remove(&approval_id);
                        self.link.withdraw_approval(approval_id).await?;
                    }
                }
                Output::Say(line) => self.stdin.push(line),
                Output::Refused(refusal) => return Err(Failure::Refused(refusal)),
            }
        }
        Ok(())
    }

    /// Refuses what the program asks about, whoever would allow it.
    async fn refuse(&mut self, request_id: &str, why: &str) -> Result<(), Failure> {
        if let Some((said, remark)) = self.conversation.refuse(request_id, why) {
            self.stdin.push(said);
            self.link.emit(remark).await?;
        }
        Ok(())
    }

    /// Ends the recording, and says what is missing in it. That changes nothing about the session.
    async fn finish_recording(&mut self, exit: Option<Exit>) {
        let Some(recorder) = self.recorder.take() else { return };
        if let Err(failure) = recorder.finish(exit).await {
            // When nobody listens any more, nobody misses it; the file has no end, and shows it.
            let _unheard = self.link.emit(recording::remark(&failure)).await;
        }
    }

    fn outcome(&self, exit: Option<Exit>) -> SessionOutcome {
        let was_asked = self.ending.is_some();
        let is_good = exit.is_some_and(|exit| exit.code == Some(0)) && !self.conversation.has_open_turn();
        let limit = self.conversation.limit();
        SessionOutcome {
            // Asked to end, it may take its last turn's exit code along; one that had to be killed did not obey.
            exit_ok: if was_asked { exit.is_some_and(|exit| exit.signal.is_none()) } else { is_good },
            aborted: !was_asked && !self.conversation.is_ready(),
            rate_limited: limit.is_some(),
            rate_limit_reset_at: limit.and_then(|limit| limit.reset_at),
            exit_code: exit.and_then(|exit| exit.code),
            signal: exit.and_then(|exit| exit.signal),
            stderr_tail: self.pipes.stderr_tail(),
        }
    }

    /// Ends what cannot go on, and says why.
    async fn fail(&mut self, child: &mut Child, failure: Failure) -> Result<SessionOutcome, BackendError> {
        let ended = child.kill_now().await;
        // What was used is told whatever happened; when nobody listens any more, nobody misses it.
        let outputs = self.conversation.over();
        drop(self.perform(outputs).await);
        let exit = self.exit.or_else(|| ended.as_ref().ok().and_then(|ended| ended.exit));
        self.finish_recording(exit).await;
        let said =
            self.pipes.stderr_tail().map_or_else(String::new, |said| format!("; it said last: {said}"));
        let error = |code, message| BackendError { code, message, source: None };
        match failure {
            Failure::LinkClosed => {
                ended.map_err(|error| BackendError::new("process_lost", "end Claude Code", error))?;
                Ok(SessionOutcome::crashed())
            }
            Failure::Silent => {
                let limit = self.limits.start.as_secs();
                Err(error("claude_silent", format!("Claude Code did not answer within {limit} s{said}")))
            }
            Failure::Refused(Refusal::Resume(why)) => Err(error(
                BackendError::RESUME_REFUSED,
                format!("Claude Code cannot continue the session: {why}"),
            )),
            Failure::Refused(Refusal::Initialize(why)) => {
                let message = format!("Claude Code does not take its instructions: {why}");
                Err(error("claude_initialize_refused", message))
            }
            Failure::Framing(error) => {
                Err(BackendError::new("claude_line_too_long", "read what Claude Code writes", error))
            }
            Failure::Process(error) => Err(BackendError::new("process_lost", "watch Claude Code", error)),
        }
    }
}

/// Waits until then; without end when there is no such time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
