//! Tool calls: leave first, then the tool, then its result.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use musher_backend::{ApprovalRequest, Cancellation, Event, Tool, ToolCall, ToolOutput, TurnEnd, Verdict};
use musher_protocol::{ApprovalId, ApprovalKind, ToolCallId};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Session,
    turn::{Halt, Turn},
};
use crate::{Item, conversation::UNKNOWN_RESULT, stage::Cut};

/// How long any tool may take; the same as the runtime is told.
pub const TOOL_LIMIT: Duration = Duration::from_secs(11 * 60);
/// A tool ends by itself at its limit. One that does not is dropped a little later.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a tool that is no longer wanted may take to say how far it came; less than the runtime's own margin.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// A model that was told twice what its arguments must be does not learn it the third time.
const MAX_MALFORMED: u32 = 3;
/// Tools that only look run together; more at once would only compete for the same disk.
const MAX_TOGETHER: usize = 8;

/// A call that the model has made.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: ToolCallId,
    pub(super) name: String,
    pub(super) arguments: String,
    input: Result<Map<String, Value>, String>,
}

/// A call and what is to be done about it.
#[derive(Debug)]
struct Due {
    id: ToolCallId,
    name: String,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// There is nothing to run.
    Said(String),
    /// Nobody needs to be asked.
    Look(Ready),
    /// Somebody has been asked.
    Ask(ApprovalId, Ready),
}

#[derive(Debug)]
struct Ready {
    tool: Arc<dyn Tool>,
    input: Value,
    /// Somebody wants it called with something else than what the model wrote.
    is_changed: bool,
}

impl Pending {
    /// Reads the arguments, strictly: what is not an object is not mended, for nobody knows what was meant.
    pub(super) fn new(id: ToolCallId, name: String, arguments: String) -> Self {
        let input = serde_json::from_str::<Map<String, Value>>(&arguments).map_err(|error| error.to_string());
        Self { id, name, arguments, input }
    }

    /// What the log shows: the arguments, or the text that is none.
    pub(super) fn shown_input(&self) -> Value {
        match &self.input {
            Ok(input) => Value::Object(input.clone()),
            Err(_) => Value::String(self.arguments.clone()),
        }
    }
}

impl Session {
    /// Runs calls in their order, each with leave. Those that only look run together.
    pub(super) async fn run_calls(&mut self, turn: &mut Turn, calls: Vec<Pending>) -> Result<(), Halt> {
        let repeated = calls.iter().find(|call| turn.repetition.repeats(&call.name, &call.arguments));
        if let Some(name) = repeated.map(|call| call.name.clone()) {
            self.refuse_calls(calls, "not run: the same calls were made again and again").await?;
            let message = format!("the model goes round in circles with calls of `{name}`");
            return Err(Halt::End(TurnEnd::failed("tool_loop", message)));
        }
        // By answers, for calls that were made together were not told of each other.
        let is_malformed = calls.iter().any(|call| call.input.is_err());
        turn.malformed = if is_malformed { turn.malformed + 1 } else { 0 };
        let mut dues = VecDeque::with_capacity(calls.len());
        for call in calls {
            let due = self.due(call).await?;
            dues.push_back(due);
        }
        let worked = self.work(&mut dues).await;
        if let Err(halt) = worked {
            self.close(dues, &halt).await?;
            return Err(halt);
        }
        if turn.malformed >= MAX_MALFORMED {
            let message = format!(
                "the model gave {MAX_MALFORMED} answers in a row with a call whose arguments are no JSON object"
            );
            return Err(Halt::End(TurnEnd::failed("malformed_tool_calls", message)));
        }
        Ok(())
    }

    /// Answers calls that must not run.
    pub(super) async fn refuse_calls(&mut self, calls: Vec<Pending>, why: &str) -> Result<(), Cut> {
        for call in calls {
            self.result(call.id, call.name, ToolOutput::error(why)).await?;
        }
        Ok(())
    }

    /// What is to be done about a call; asks where somebody must be asked.
    async fn due(&self, call: Pending) -> Result<Due, Cut> {
        let Pending { id, name, arguments: _, input } = call;
        let step = match (self.roster.find(&name), input) {
            (None, _) => Step::Said(format!("there is no tool `{name}`; there are: {}", self.roster.names())),
            (Some(tool), Err(error)) => {
                let schema = &tool.spec().input_schema;
                Step::Said(format!(
                    "not run: the arguments are no JSON object ({error}). Their schema: {schema}"
                ))
            }
            (Some(tool), Ok(input)) => {
                let ready = Ready { tool: tool.clone(), input: Value::Object(input), is_changed: false };
                if tool.spec().is_read_only {
                    Step::Look(ready)
                } else {
                    let request = ApprovalRequest {
                        tool_call_id: Some(id.clone()),
                        kind: ApprovalKind::Tool,
                        tool: name.clone(),
                        input: ready.input.clone(),
                        questions: Vec::new(),
                        suggestions: Vec::new(),
                    };
                    Step::Ask(self.stage.ask(request).await?, ready)
                }
            }
        };
        Ok(Due { id, name, step })
    }

    /// Works off what is due; what is left when it halts has not been run.
    async fn work(&mut self, dues: &mut VecDeque<Due>) -> Result<(), Halt> {
        while let Some(due) = dues.front() {
            let verdict = match &due.step {
                Step::Said(_) | Step::Look(_) => None,
                Step::Ask(approval_id, _) => Some(self.stage.decision(approval_id).await?),
            };
            let Some(Due { id, name, step }) = dues.pop_front() else { return Ok(()) };
            match (step, verdict) {
                (Step::Said(content), _) => self.result(id, name, ToolOutput::error(content)).await?,
                (Step::Look(ready), _) => {
                    let mut together = vec![(id, name, ready)];
                    while together.len() < MAX_TOGETHER
                        && let Some(Due { step: Step::Look(_), .. }) = dues.front()
                        && let Some(Due { id, name, step: Step::Look(ready) }) = dues.pop_front()
                    {
                        together.push((id, name, ready));
                    }
                    self.run(together).await?;
                }
                (Step::Ask(_, ready), Some(Verdict::Allow { updated_input, answers: _ })) => {
                    let is_changed = updated_input.is_some();
                    let input = updated_input.unwrap_or(ready.input);
                    self.run(vec![(id, name, Ready { tool: ready.tool, input, is_changed })]).await?;
                }
                (Step::Ask(..), Some(Verdict::Deny { message, interrupt })) => {
                    let message = format!("not run, for it was denied: {message}");
                    self.result(id, name, ToolOutput::error(message)).await?;
                    if interrupt {
                        return Err(Halt::Cut(Cut::Interrupted));
                    }
                }
                (Step::Ask(..), None) => unreachable!("the decision was waited for above"),
            }
        }
        Ok(())
    }

    /// Runs tools at the same time, and reports in their order. When the turn is cut they are told, and have a moment
    /// to say how far they came.
    async fn run(&mut self, calls: Vec<(ToolCallId, String, Ready)>) -> Result<(), Cut> {
        let (cancel, cancellation) = Cancellation::pair();
        let mut outputs: Vec<Option<ToolOutput>> = calls.iter().map(|_| None).collect();
        let mut running: FuturesUnordered<_> =
            calls
                .iter()
                .enumerate()
                .map(|(at, (id, _, ready))| {
                    let call = ToolCall {
                        tool_call_id: id.clone(),
                        input: ready.input.clone(),
                        cancellation: cancellation.clone(),
                    };
                    let limit = ready.tool.spec().limit.min(TOOL_LIMIT) + MARGIN;
                    async move {
                        (at, timeout(limit, ready.tool.call(call)).await.unwrap_or_else(|_late| overdue()))
                    }
                })
                .collect();
        let cut = loop {
            match self.stage.during(running.next()).await {
                Ok(Some((at, output))) => outputs[at] = Some(output),
                Ok(None) => break None,
                Err(cut) => break Some(cut),
            }
        };
        if let Some(cut) = &cut {
            let limit = match cut {
                Cut::Interrupted => STOP_LIMIT,
                Cut::Ended(grace) => STOP_LIMIT.min(*grace),
                Cut::Closed(_) => Duration::ZERO,
            };
            cancel.send_replace(true);
            let deadline = Instant::now() + limit;
            while let Ok(Some((at, output))) = timeout_at(deadline, running.next()).await {
                outputs[at] = Some(output);
            }
        }
        drop(running);
        for ((id, name, ready), output) in calls.into_iter().zip(outputs) {
            match output {
                // The model would otherwise take what was done for what it had asked for.
                Some(output) if ready.is_changed => {
                    let content = format!("called with {} instead: {}", ready.input, output.content);
                    self.result(id, name, ToolOutput { content, ..output }).await?;
                }
                Some(output) => self.result(id, name, output).await?,
                // The runtime says the same in the log, when the turn ends.
                None => self.conversation.push(unknown(id, name)),
            }
        }
        cut.map_or(Ok(()), Err)
    }

    /// Answers what was not run any more. Questions that are open are taken back.
    async fn close(&mut self, dues: VecDeque<Due>, halt: &Halt) -> Result<(), Halt> {
        if let Halt::Cut(Cut::Closed(_)) = halt {
            return Ok(());
        }
        for Due { id, name, step } in dues {
            if let Step::Ask(approval_id, _) = step {
                self.stage.withdraw(approval_id).await?;
            }
            self.result(id, name, ToolOutput::error("not run: the turn was interrupted")).await?;
        }
        Ok(())
    }

    async fn result(&mut self, id: ToolCallId, name: String, output: ToolOutput) -> Result<(), Cut> {
        let (content, is_error) = (output.content.clone(), output.is_error);
        self.conversation.push(Item::Result { id: id.clone(), name, content, is_error });
        self.stage.emit(Event::ToolResult { tool_call_id: id, output }).await
    }
}

fn overdue() -> ToolOutput {
    ToolOutput::error("the tool did not end within its limit; side effects unknown")
}

fn unknown(id: ToolCallId, name: String) -> Item {
    Item::Result { id, name, content: UNKNOWN_RESULT.to_owned(), is_error: true }
}

#[cfg(test)]
mod tests;
