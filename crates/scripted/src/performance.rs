//! One turn, played from the script.

use std::time::Duration;

use jiff::Timestamp;
use musher_backend::{Command, Event, Input, Link, LinkClosed, ToolOutput, TurnEnd};
use musher_protocol::{Block, InputId, ToolCallId, TurnError};
use uuid::Uuid;

use crate::{
    Script,
    script::{RateLimit, Reply, Step, ToolCall},
    stage::{Cut, Stage},
    words::words,
};

/// What becomes of the session after a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    /// It waits for the next input.
    Idle,
    /// It is to end.
    Ended,
    /// It broke off, and so did the turn.
    Crashed,
}

/// Plays the turn that answers this input.
pub(crate) async fn run(script: &Script, input: Input, link: &mut Link) -> Result<After, LinkClosed> {
    let mut input = input;
    let played = loop {
        let stage = Stage::new(link);
        let word_delay = script.word_delay();
        let mut performance =
            Performance { stage, word_delay, n_blocks: 0, input_id: input.input_id.clone() };
        match performance.play(script, input).await {
            Err(Cut::Replaced(next)) => input = next,
            played => break played,
        }
    };
    let (end, after) = match played {
        Ok(()) => (TurnEnd::completed(), After::Idle),
        Err(Cut::Interrupted) => (TurnEnd::Interrupted, After::Idle),
        Err(Cut::Ended) => (TurnEnd::Interrupted, After::Ended),
        Err(Cut::Failed(error)) => (TurnEnd::Failed(error), After::Idle),
        Err(Cut::Crashed) => return Ok(After::Crashed),
        Err(Cut::Replaced(_)) => unreachable!("the loop above begins with what replaced the turn"),
        Err(Cut::Closed(closed)) => return Err(closed),
    };
    link.emit(Event::TurnEnded(end)).await?;
    Ok(after)
}

struct Performance<'a> {
    stage: Stage<'a>,
    word_delay: Duration,
    n_blocks: Block,
    /// The input that the turn answers.
    input_id: InputId,
}

impl Performance<'_> {
    async fn play(&mut self, script: &Script, input: Input) -> Result<(), Cut> {
        self.stage.emit(Event::InputTaken { input_id: input.input_id }).await?;
        match script.reply(&input.content) {
            Reply::Echo => self.say(&input.content, self.word_delay).await,
            Reply::Steps(steps) => {
                for step in steps {
                    self.stage.pause(Duration::ZERO).await?;
                    self.step(step).await?;
                }
                Ok(())
            }
            Reply::Nothing => Err(Cut::Failed(TurnError {
                code: "script_no_match".to_owned(),
                message: "no turn of the script matches the input".to_owned(),
            })),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Cut> {
        match step {
            Step::Thinking(text) => self.think(text).await,
            Step::Text { text, word_delay } => self.say(text, word_delay.unwrap_or(self.word_delay)).await,
            Step::ToolCall(call) => self.call(call).await,
            Step::Approvals(requests) => self.stage.ask(requests).await,
            Step::Usage(usage) => self.stage.emit(Event::Usage(usage.clone())).await,
            Step::Sleep(time) => self.stage.pause(*time).await,
            Step::RateLimit(limit) => self.hit(limit).await,
            Step::Fail(error) => Err(Cut::Failed(error.clone())),
            Step::Hang => loop {
                self.stage.command().await?;
            },
            Step::Crash => Err(Cut::Crashed),
        }
    }

    async fn think(&mut self, text: &str) -> Result<(), Cut> {
        let block = self.next_block();
        self.stage.emit(Event::ThinkingDelta { block, text: text.to_owned() }).await?;
        self.stage.emit(Event::ThinkingDone { block, text: text.to_owned() }).await
    }

    async fn say(&mut self, text: &str, word_delay: Duration) -> Result<(), Cut> {
        let block = self.next_block();
        for (word_idx, word) in words(text).enumerate() {
            self.stage.pause(if word_idx == 0 { Duration::ZERO } else { word_delay }).await?;
            self.stage.emit(Event::TextDelta { block, text: word.to_owned() }).await?;
        }
        self.stage.emit(Event::TextDone { block, text: text.to_owned() }).await
    }

    async fn call(&mut self, call: &ToolCall) -> Result<(), Cut> {
        // A vendor's ids are unique over all its sessions, and logs may rely on that.
        let tool_call_id: ToolCallId =
            format!("call_{}", Uuid::new_v4().simple()).parse().expect("a UUID is visible ASCII and short");
        let name = call.name.clone();
        self.stage
            .emit(Event::ToolCallStarted { tool_call_id: tool_call_id.clone(), name: name.clone() })
            .await?;
        let arguments = call.input.to_string();
        self.stage.emit(Event::ToolCallDelta { tool_call_id: tool_call_id.clone(), arguments }).await?;
        let input = call.input.clone();
        self.stage.emit(Event::ToolCallDone { tool_call_id: tool_call_id.clone(), name, input }).await?;
        self.stage.pause(call.takes).await?;
        let (content, is_error) = (call.result.clone(), call.is_error);
        let output = ToolOutput { content, is_error, ..ToolOutput::default() };
        self.stage.emit(Event::ToolResult { tool_call_id, output }).await
    }

    async fn hit(&mut self, limit: &RateLimit) -> Result<(), Cut> {
        let reset_at = limit.reset_after.map(|time| Timestamp::now() + time);
        self.stage.emit(Event::RateLimited { scope: limit.scope.clone(), reset_at }).await?;
        loop {
            if let Command::Input(input) = self.stage.command().await? {
                if input.input_id != self.input_id {
                    return Err(Cut::Replaced(input));
                }
                // The refusal took the first one back, and the runtime may have sent another text instead.
                return self.stage.emit(Event::InputTaken { input_id: input.input_id }).await;
            }
        }
    }

    fn next_block(&mut self) -> Block {
        let block = self.n_blocks;
        self.n_blocks += 1;
        block
    }
}
