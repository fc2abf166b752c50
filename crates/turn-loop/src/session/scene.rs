//! A session for tests: its model says what its server says.

use std::sync::Arc;

use musher_backend::{Link, Tool};
use musher_protocol::StopReason;
use serde_json::{Value, json};

use super::Session;
use crate::{
    Call, Complaint, Ending, Failure, Line, Model, Output, Pace, Piece, Prompt, Reader, Refusal, Scope,
    SseEvent, conversation::Conversation, roster::Roster, stage::Stage,
};

/// A session at this server, before its first turn.
pub(super) fn session(link: Link, base_url: &str, tools: Vec<Arc<dyn Tool>>) -> Session {
    let (roster, _) = Roster::new(tools);
    let (provider, model) = ("plain".to_owned(), "plain".to_owned());
    Session {
        stage: Stage::new(link),
        model: Box::new(Plain(Scope { provider, base_url: base_url.to_owned(), model })),
        line: Line::new(base_url, Pace::default()).expect("the machine can encrypt"),
        window: None,
        instructions: None,
        preface: None,
        conversation: Conversation::default(),
        roster,
        sandbox: "none".to_owned(),
        cache_key: String::new(),
        vain_shortenings: 0,
    }
}

/// A vendor whose events are either `{"say": "…"}` or `{"call": "…"}`, and whose answers end with their streams.
#[derive(Debug)]
struct Plain(Scope);

impl Model for Plain {
    fn scope(&self) -> &Scope {
        &self.0
    }

    fn call(&mut self, _: &Prompt<'_>) -> Call {
        Call { url: self.0.base_url.clone(), headers: Vec::new(), body: json!({}) }
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(PlainReader)
    }

    fn refused(&mut self, response: &Refusal) -> Failure {
        let (status, message) = (Some(response.status), response.body.clone());
        Failure::of(&Complaint { status, message, ..Complaint::default() })
    }
}

#[derive(Debug)]
struct PlainReader;

impl Reader for PlainReader {
    fn event(&mut self, event: &SseEvent, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        let value: Value = serde_json::from_str(&event.text).expect("tests write JSON");
        let output = match (value["say"].as_str(), value["call"].as_str()) {
            (Some(words), _) => Output::Text(words.to_owned()),
            (None, Some(name)) => {
                Output::Call { id: String::new(), name: name.to_owned(), arguments: "{}".to_owned() }
            }
            (None, None) => panic!("an event says or calls: {value}"),
        };
        pieces.push(Piece::Whole { slot: 0, output, raw: Vec::new() });
        Ok(())
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        pieces.push(Piece::End(Ending::Stopped { reason: StopReason::EndTurn, vendor: None }));
        Ok(())
    }
}
