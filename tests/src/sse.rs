//! A stream of server-sent events, read as `curl -N` and a browser read it.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use musher_protocol::{Envelope, Payload};
use tokio::{task::JoinSet, time::timeout};

use crate::{Broken, PATIENCE};

/// A worker's log over plain HTTP.
#[derive(Debug)]
pub struct Sse {
    body: Incoming,
    /// The connection is driven for as long as its stream is read.
    _connection: JoinSet<()>,
    /// What has come and is no whole block yet.
    text: String,
    /// What a client comes back with.
    pub last_id: Option<String>,
    /// The comments so far that are no heartbeats.
    pub comments: Vec<String>,
    /// Every event so far, the snapshot left out.
    pub seen: Vec<Envelope>,
}

impl Sse {
    pub(crate) fn new(body: Incoming, connection: JoinSet<()>) -> Self {
        Self {
            body,
            _connection: connection,
            text: String::new(),
            last_id: None,
            comments: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// The next event; `None` at the end of the answer.
    pub async fn next(&mut self) -> Result<Option<Envelope>, Broken> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(envelope) = self.take(&block) {
                    return Ok(Some(envelope));
                }
            }
            match timeout(PATIENCE, self.body.frame()).await.expect("something comes") {
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().expect("an answer has no trailers");
                    self.text.push_str(std::str::from_utf8(&bytes).expect("whole letters"));
                }
                Some(Err(error)) => return Err(Broken(error.to_string())),
                None => {
                    assert_eq!(self.text, "", "whole blocks");
                    return Ok(None);
                }
            }
        }
    }

    /// Reads until an event is the one that is wanted.
    pub async fn until(&mut self, wanted: impl Fn(&Payload) -> bool) {
        loop {
            let envelope = self.next().await.unwrap().expect("the stream goes on");
            if wanted(&envelope.payload) {
                return;
            }
        }
    }

    /// Reads to the end of the answer.
    pub async fn end(&mut self) -> Result<(), Broken> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    fn take(&mut self, block: &str) -> Option<Envelope> {
        let mut event = None;
        for line in block.split('\n') {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("id", id) => self.last_id = Some(id.to_owned()),
                ("data", data) => event = Some(serde_json::from_str::<Envelope>(data).unwrap()),
                ("retry", millis) => assert_eq!(millis, "2000"),
                ("", comment) => self.comments.push(comment.to_owned()),
                (":", "") => {}
                _ => panic!("unexpected: {line:?}"),
            }
        }
        let envelope = event?;
        assert_eq!(self.last_id, Some(envelope.cursor.to_string()), "an event's id is its cursor");
        if !matches!(envelope.payload, Payload::Snapshot(_)) {
            self.seen.push(envelope.clone());
        }
        Some(envelope)
    }
}
