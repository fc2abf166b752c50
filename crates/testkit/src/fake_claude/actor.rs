//! What the fake does without a cassette. Pure: lines go in, [`Act`]s come out.

mod turn;

use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use self::turn::{Question, Step, Turn};
use super::{Misfit, speech::Speech};
use crate::{cassette::session_id, messages_api::prompt::texts};

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Say(String),
    /// Wait, unless something is heard.
    Pause(Duration),
    Crash,
    Exit(u8),
    LeaveChild,
}

/// The fake's part of a conversation.
#[derive(Debug)]
pub(super) struct Actor {
    speech: Speech,
    is_ready: bool,
    /// What is to be said and done before anything new begins.
    steps: VecDeque<Step>,
    turn: Option<Turn>,
    /// The last message and the last request, neither of which comes twice.
    last_uuid: Option<Uuid>,
    last_request: Option<String>,
    /// A question that needs no answer any more; its answer may have been under way.
    lapsed: Option<String>,
}

impl Actor {
    /// # Errors
    ///
    /// When the program is not started as it has to be.
    pub(super) fn new(args: &[String]) -> Result<Self, Misfit> {
        let follows = |option: &str, value: &str| args.windows(2).any(|pair| pair == [option, value]);
        for (option, value) in [
            ("--input-format", "stream-json"),
            ("--output-format", "stream-json"),
            ("--permission-prompt-tool", "stdio"),
        ] {
            if !follows(option, value) {
                return Err(Misfit(format!("{option} {value} is missing in {args:?}")));
            }
        }
        let session = args.iter().find_map(|arg| session_id(arg)).and_then(|id| Uuid::parse_str(id).ok());
        let session = session.ok_or_else(|| Misfit(format!("no session's id in {args:?}")))?;
        Ok(Self {
            speech: Speech::of(session),
            is_ready: false,
            steps: VecDeque::new(),
            turn: None,
            last_uuid: None,
            last_request: None,
            lapsed: None,
        })
    }

    /// Whether no turn is open and nothing is left to say.
    pub(super) fn is_idle(&self) -> bool {
        self.turn.is_none() && self.steps.is_empty()
    }

    /// What comes next; nothing while the other side has to speak.
    pub(super) fn next(&mut self) -> Option<Act> {
        Some(match self.steps.pop_front()? {
            Step::Say(value) => Act::Say(line(&value)),
            Step::Delta(text) => {
                if let Some(turn) = &mut self.turn {
                    turn.said.push_str(&text);
                }
                Act::Say(line(&self.speech.delta(&text)))
            }
            Step::Pause(time) => Act::Pause(time),
            Step::Ask(question) => {
                let asked =
                    self.speech.can_use_tool(&question.request_id, &question.call_id, &question.command);
                if let Some(turn) = &mut self.turn {
                    turn.question = Some(question);
                }
                Act::Say(line(&asked))
            }
            Step::End => {
                self.turn = None;
                Act::Say(line(&self.speech.result("completed")))
            }
            Step::Aborted(reason) => {
                self.turn = None;
                Act::Say(line(&self.speech.result(reason)))
            }
            Step::Crash => Act::Crash,
            Step::Exit(code) => Act::Exit(code),
            Step::LeaveChild => Act::LeaveChild,
        })
    }

    /// Takes a line.
    ///
    /// # Errors
    ///
    /// When the real program would not have been told this now.
    pub(super) fn hear(&mut self, line: &[u8]) -> Result<(), Misfit> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| Misfit(format!("{error}: {}", String::from_utf8_lossy(line))))?;
        let heard = match value["type"].as_str() {
            Some("control_request") => self.request(&value),
            Some("user") if self.is_ready => self.message(&value),
            Some("control_response") if self.is_ready => self.answer(&value["response"]),
            Some(_) | None => Err("it is not expected now".to_owned()),
        };
        heard.map_err(|why| Misfit(format!("{why}: {value}")))
    }

    fn request(&mut self, value: &Value) -> Result<(), String> {
        let request_id = value["request_id"].as_str().filter(|id| !id.is_empty()).ok_or("it has no id")?;
        if self.last_request.replace(request_id.to_owned()).as_deref() == Some(request_id) {
            return Err("the same request came before".to_owned());
        }
        match (value["request"]["subtype"].as_str(), self.is_ready) {
            (Some("initialize"), false) => {
                self.is_ready = true;
                self.steps.push_back(Step::Say(self.speech.answer(request_id, &json!({ "commands": [] }))));
                Ok(())
            }
            (Some("interrupt"), true) => {
                self.interrupt(request_id);
                Ok(())
            }
            (_, _) => Err("there is no such request now".to_owned()),
        }
    }

    fn message(&mut self, value: &Value) -> Result<(), String> {
        if self.turn.is_some() {
            return Err("a message comes while a turn is open".to_owned());
        }
        let uuid = value["uuid"].as_str().and_then(|uuid| Uuid::parse_str(uuid).ok());
        let uuid = uuid.ok_or("its uuid is none")?;
        if self.last_uuid.replace(uuid) == Some(uuid) {
            return Err("the same message came before".to_owned());
        }
        let message = &value["message"];
        let blocks = message["content"].as_array().ok_or("its content is no list")?;
        // The real one reads commands and file names in the last block alone.
        let ends_empty = blocks.last().is_some_and(|block| block["type"] == "text" && block["text"] == "");
        if message["role"] != "user" || !ends_empty {
            return Err("it is not the user's, or its last block would be interpreted".to_owned());
        }
        let prompt = texts(message).concat();
        if prompt.trim().is_empty() {
            return Err("it is blank".to_owned());
        }
        self.turn = Some(Turn::default());
        self.steps.push_back(Step::Say(self.speech.init(uuid)));
        self.steps.extend(turn::script(&prompt, &mut self.speech)?);
        Ok(())
    }

    fn answer(&mut self, response: &Value) -> Result<(), String> {
        let request_id = response["request_id"].as_str().ok_or("it has no id")?;
        let asked =
            self.turn.as_mut().and_then(|turn| turn.question.take_if(|open| open.request_id == request_id));
        let Some(Question { call_id, command, .. }) = asked else {
            // It crossed the word that it is not needed any more.
            let is_late = self.lapsed.take_if(|lapsed| lapsed == request_id).is_some();
            return if is_late { Ok(()) } else { Err("nobody asked".to_owned()) };
        };
        let answer = &response["response"];
        let (content, is_refused) = match answer["behavior"].as_str() {
            Some("allow") if answer["updatedInput"]["command"].is_string() => {
                (format!("ran {command}"), false)
            }
            Some("deny") => (answer["message"].as_str().ok_or("it has no reason")?.to_owned(), true),
            Some(_) | None => return Err("it is no decision".to_owned()),
        };
        self.steps.push_back(Step::Say(self.speech.tool_result(&call_id, &content, is_refused)));
        if is_refused && answer["interrupt"] == true {
            self.steps.push_back(Step::Aborted("aborted_tools"));
        } else {
            self.steps.extend(turn::text(["FAKE-DONE bash"], Duration::ZERO, &mut self.speech));
            self.steps.push_back(Step::End);
        }
        Ok(())
    }

    /// Ends the open turn where it is. Without one there is only the receipt.
    fn interrupt(&mut self, request_id: &str) {
        let receipt = Step::Say(self.speech.answer(request_id, &json!({ "still_queued": [] })));
        let Some(turn) = &mut self.turn else { return self.steps.push_back(receipt) };
        self.steps.clear();
        let said = std::mem::take(&mut turn.said);
        match turn.question.take() {
            Some(Question { request_id, call_id, .. }) => {
                self.steps.push_back(Step::Say(self.speech.lapse(&request_id)));
                self.steps.push_back(receipt);
                let rejected = "The user doesn't want to proceed with this tool use.";
                self.steps.push_back(Step::Say(self.speech.tool_result(&call_id, rejected, true)));
                self.steps.push_back(Step::Aborted("aborted_tools"));
                self.lapsed = Some(request_id);
            }
            None => {
                self.steps.push_back(receipt);
                if !said.is_empty() {
                    let cut = self.speech.cut(&said);
                    self.steps.extend(cut.into_iter().map(Step::Say));
                }
                self.steps.push_back(Step::Aborted("aborted_streaming"));
            }
        }
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests;
