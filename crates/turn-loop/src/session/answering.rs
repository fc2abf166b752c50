//! One answer of the model, over as many attempts as it takes.

use std::time::Duration;

use jiff::Timestamp;
use musher_backend::{Event, TurnEnd};
use musher_protocol::Block;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{
    Session,
    turn::{Halt, Turn, item},
};
use crate::{
    Failure, FailureKind, Item, SseDecoder, SseEvent,
    answer::{Answer, Assembly},
    conversation::{SUMMARY_REQUEST, without_raw},
    line::{Exchange, NoAnswer},
    model::{Piece, Prompt, Reader},
    price,
    retry::{Attempts, Next, with_jitter},
    stage::Cut,
};

/// Often enough for the runtime's inactivity limit, which counts in seconds, and seldom enough for its queue.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Behind an answer's end a server closes its stream at once, and then the connection can be used again. One that
/// does not is not waited for.
const LINGER: Duration = Duration::from_millis(100);

/// What the model is asked for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// To go on with the turn.
    Turn,
    /// To sum up a part of the conversation; nobody is shown the answer.
    Summary {
        /// The part.
        items: Vec<Item>,
    },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Asked {
    Answered(Answer),
    /// The request is larger than the model takes.
    TooLong(Failure),
}

/// An attempt that failed.
#[derive(Debug)]
struct Failed {
    failure: Failure,
    /// Whether anything of an answer had come.
    answered: bool,
    /// What it had shown.
    blocks: Vec<Block>,
}

/// An answer that is read.
struct Reading {
    exchange: Exchange,
    decoder: SseDecoder,
    reader: Box<dyn Reader>,
    assembly: Assembly,
    answered: bool,
    last_progress: Instant,
    last_alive: Instant,
}

impl Reading {
    fn new(exchange: Exchange, reader: Box<dyn Reader>, next_block: Block) -> Self {
        let (decoder, assembly) = (SseDecoder::default(), Assembly::new(next_block));
        let now = Instant::now();
        Self { exchange, decoder, reader, assembly, answered: false, last_progress: now, last_alive: now }
    }
}

impl Session {
    /// The model's next answer, after the conversation was made to fit.
    pub(super) async fn answer(&mut self, turn: &mut Turn) -> Result<Answer, Halt> {
        self.make_room(turn).await?;
        loop {
            match self.ask(turn, &mut Purpose::Turn).await? {
                Asked::Answered(answer) => {
                    // The vendor's own count of what it was sent. The answer comes on top of that.
                    if let Some(sent) = answer.tokens.and_then(|tokens| tokens.input) {
                        self.conversation.measure(sent);
                    }
                    return Ok(answer);
                }
                Asked::TooLong(failure) => self.shorten(turn, &failure).await?,
            }
        }
    }

    /// Asks until there is an answer, or none is to be had.
    pub(super) async fn ask(&mut self, turn: &mut Turn, purpose: &mut Purpose) -> Result<Asked, Halt> {
        let mut attempts = Attempts::new(self.line.pace().backoff);
        loop {
            self.keep_quiet().await?;
            let Failed { failure, answered, blocks } = match self.attempt(turn, purpose).await? {
                Ok(answer) => return Ok(Asked::Answered(answer)),
                Err(failed) => failed,
            };
            tracing::debug!(code = failure.code, message = failure.message, "a model call failed");
            match attempts.after(&failure, answered, random()) {
                Next::Again { attempt, max_attempts, delay } => {
                    if matches!(failure.kind, FailureKind::RateLimited { .. }) {
                        // The limit is the key's, so every session that uses it waits.
                        self.line.be_quiet(delay);
                    }
                    self.retrying(&failure, (attempt, max_attempts), delay, blocks).await?;
                    self.stage.rest(delay).await?;
                }
                Next::WithoutOpaque => {
                    let n_dropped = self.conversation.drop_opaque();
                    if let Purpose::Summary { items } = purpose {
                        *items = std::mem::take(items).into_iter().filter_map(without_raw).collect();
                    }
                    let message =
                        format!("the provider refused {n_dropped} items of its own: {}", failure.message);
                    self.stage.diagnose("history.opaque_dropped", message).await?;
                    self.retrying(&failure, (2, 2), Duration::ZERO, blocks).await?;
                }
                Next::Park { scope, after } => {
                    if !blocks.is_empty() {
                        self.retrying(&failure, (1, 1), Duration::ZERO, blocks).await?;
                    }
                    self.park(turn, scope, after).await?;
                    attempts = Attempts::new(self.line.pace().backoff);
                }
                Next::Shorter => {
                    if !blocks.is_empty() {
                        self.retrying(&failure, (2, 2), Duration::ZERO, blocks).await?;
                    }
                    return Ok(Asked::TooLong(failure));
                }
                Next::GiveUp => return Err(Halt::End(end(failure))),
            }
        }
    }

    /// Waits as long as the vendor wants to be left alone, whichever session it told. Those that wait for the same
    /// moment come back one after the other.
    async fn keep_quiet(&mut self) -> Result<(), Cut> {
        loop {
            let quiet = self.line.quiet();
            if quiet.is_zero() {
                return Ok(());
            }
            self.stage.rest(with_jitter(quiet, random())).await?;
        }
    }

    async fn retrying(
        &self,
        failure: &Failure,
        (attempt, max_attempts): (u32, u32),
        delay: Duration,
        discarded_blocks: Vec<Block>,
    ) -> Result<(), Cut> {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let reason = failure.message.clone();
        self.stage.emit(Event::Retrying { attempt, max_attempts, delay_ms, reason, discarded_blocks }).await
    }

    /// Waits until the runtime sends the input again behind the limit.
    async fn park(&mut self, turn: &mut Turn, scope: String, after: Option<Duration>) -> Result<(), Halt> {
        let reset_at = after.and_then(|after| Timestamp::now().checked_add(after).ok());
        self.stage.emit(Event::RateLimited { scope, reset_at }).await?;
        let input = self.stage.input().await?;
        if input.input_id != turn.input.input_id {
            return Err(Halt::Replaced(input));
        }
        if input.content != turn.input.content {
            self.conversation.push(item(&input));
        }
        turn.refused();
        Ok(())
    }

    async fn attempt(&mut self, turn: &mut Turn, purpose: &Purpose) -> Result<Result<Answer, Failed>, Cut> {
        let summary_items;
        let items = match purpose {
            Purpose::Turn => self.conversation.items(),
            Purpose::Summary { items } => {
                let request = Item::User { text: SUMMARY_REQUEST.to_owned() };
                summary_items = items.iter().cloned().chain([request]).collect::<Vec<_>>();
                &summary_items
            }
        };
        let call = self.model.call(&Prompt {
            instructions: self.instructions.as_deref(),
            items,
            tools: self.roster.specs(),
            may_call: matches!(purpose, Purpose::Turn),
            cache_key: &self.cache_key,
        });
        let exchange = match self.stage.during(self.line.open(call)).await? {
            Ok(exchange) => exchange,
            Err(no_answer) => {
                let failure = match no_answer {
                    NoAnswer::Failed(failure) => failure,
                    NoAnswer::Refused(response) => self.model.refused(&response),
                };
                return Ok(Err(Failed { failure, answered: false, blocks: Vec::new() }));
            }
        };
        let mut reading = Reading::new(exchange, self.model.reader(), turn.next_block);
        let read = self.read(&mut reading, turn, purpose).await;
        // Nobody is shown a summary, so its blocks do not count.
        let blocks = match purpose {
            Purpose::Turn => {
                turn.next_block = reading.assembly.next_block();
                reading.assembly.blocks()
            }
            Purpose::Summary { .. } => Vec::new(),
        };
        let (tokens, answered) = (reading.assembly.tokens(), reading.answered);
        // An answer that broke off has cost something, too, and nobody knows what.
        let usage = price::usage(&self.model.scope().model, tokens);
        match read {
            Ok(Ok(())) => {
                let Reading { exchange, assembly, .. } = reading;
                self.stage.emit(Event::Usage(usage)).await?;
                let finished = assembly.finish();
                Ok(finished.map_err(|failure| Failed { failure: seen(&exchange, failure), answered, blocks }))
            }
            Ok(Err(failure)) => {
                if answered {
                    self.stage.emit(Event::Usage(usage)).await?;
                }
                let failure = seen(&reading.exchange, failure);
                Ok(Err(Failed { failure, answered, blocks }))
            }
            Err(Cut::Closed(closed)) => Err(Cut::Closed(closed)),
            Err(cut @ (Cut::Interrupted | Cut::Ended(_))) => {
                if answered {
                    self.stage.emit(Event::Usage(usage)).await?;
                }
                let text = reading.assembly.words();
                if matches!(purpose, Purpose::Turn) && !text.trim().is_empty() {
                    self.conversation.push(Item::Text { text, raw: None });
                }
                Err(cut)
            }
        }
    }

    /// Reads an answer to its end.
    async fn read(
        &mut self,
        reading: &mut Reading,
        turn: &mut Turn,
        purpose: &Purpose,
    ) -> Result<Result<(), Failure>, Cut> {
        loop {
            let bytes = match self.stage.during(reading.exchange.next()).await? {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                // What has been said to be whole is whole, however the connection ends.
                Err(failure) => {
                    let mut pieces = Vec::new();
                    if reading.reader.end(&mut pieces).is_err() {
                        return Ok(Err(failure));
                    }
                    return self.show(reading, pieces, purpose).await;
                }
            };
            if !reading.answered {
                reading.answered = true;
                if matches!(purpose, Purpose::Turn) {
                    for input_id in turn.untaken.drain(..) {
                        self.stage.emit(Event::InputTaken { input_id }).await?;
                    }
                }
            }
            let events = match reading.decoder.push(&bytes) {
                Ok(events) => events,
                Err(error) => return Ok(Err(Failure::broken(error.to_string()))),
            };
            if let Err(failure) = self.take(reading, &events, purpose).await? {
                return Ok(Err(failure));
            }
            if reading.assembly.is_over() {
                // However that ends, the answer is whole.
                let closed = timeout(LINGER, reading.exchange.next());
                drop(self.stage.during(closed).await?);
                return Ok(Ok(()));
            }
            if reading.last_progress.elapsed() > self.line.pace().progress {
                let seconds = self.line.pace().progress.as_secs_f32();
                return Ok(Err(Failure::broken(format!("the model made no progress for {seconds} s"))));
            }
            if reading.last_alive.elapsed() >= ALIVE_INTERVAL {
                reading.last_alive = Instant::now();
                self.stage.emit(Event::Alive).await?;
            }
        }
        let last = std::mem::take(&mut reading.decoder).finish();
        if let Err(failure) = self.take(reading, last.as_slice(), purpose).await? {
            return Ok(Err(failure));
        }
        if reading.assembly.is_over() {
            return Ok(Ok(()));
        }
        let mut pieces = Vec::new();
        match reading.reader.end(&mut pieces) {
            Ok(()) => self.show(reading, pieces, purpose).await,
            Err(failure) => Ok(Err(failure)),
        }
    }

    async fn take(
        &self,
        reading: &mut Reading,
        events: &[SseEvent],
        purpose: &Purpose,
    ) -> Result<Result<(), Failure>, Cut> {
        for event in events {
            let mut pieces = Vec::new();
            let read = reading.reader.event(event, &mut pieces);
            // What came before a failure is shown and counted: a failed answer may say what it has used.
            if let Err(failure) = self.show(reading, pieces, purpose).await? {
                return Ok(Err(failure));
            }
            if let Err(failure) = read {
                return Ok(Err(failure));
            }
            if reading.assembly.is_over() {
                break;
            }
        }
        Ok(Ok(()))
    }

    async fn show(
        &self,
        reading: &mut Reading,
        pieces: Vec<Piece>,
        purpose: &Purpose,
    ) -> Result<Result<(), Failure>, Cut> {
        for piece in pieces {
            reading.last_progress = Instant::now();
            match (reading.assembly.take(piece), purpose) {
                (Ok(Some(event)), Purpose::Turn) => {
                    reading.last_alive = reading.last_progress;
                    self.stage.emit(event).await?;
                }
                (Ok(Some(_) | None), Purpose::Turn | Purpose::Summary { .. }) => {}
                (Err(failure), _) => return Ok(Err(failure)),
            }
        }
        Ok(Ok(()))
    }
}

fn seen(exchange: &Exchange, failure: Failure) -> Failure {
    Failure { message: exchange.without_secrets(failure.message), ..failure }
}

fn end(failure: Failure) -> TurnEnd {
    let Failure { kind, code, message } = failure;
    match kind {
        FailureKind::Refused => TurnEnd::Refused { vendor_stop_reason: None, message },
        FailureKind::Transient { .. }
        | FailureKind::Broken
        | FailureKind::RateLimited { .. }
        | FailureKind::Overflow
        | FailureKind::OpaqueRejected
        | FailureKind::Adapted
        | FailureKind::Final => TurnEnd::failed(&code, message),
    }
}

/// From 0 to 1, another number each time.
fn random() -> f64 {
    f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
