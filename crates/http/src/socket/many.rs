//! One socket for many workers: what the client says, and what comes of its subscriptions, in turn.

use std::pin::pin;

use axum::extract::ws::Message;
use futures_util::FutureExt as _;
use musher_protocol::{Diagnostic, DiagnosticCode, Frame, StreamRequest, Topic};

use super::{
    Serving,
    peer::{Gone, Peer, Said},
    subscription::{Subject, Subscriptions},
};
use crate::{body, farewell::Farewell};

/// Serves subscriptions until the client or the server leaves, or the client's token is none any more.
pub(super) async fn follow(peer: &mut Peer, serving: &Serving<'_>) -> Result<Farewell, Gone> {
    let Serving { adapter, caller, view } = *serving;
    let mut cut = pin!(adapter.cut(caller));
    let most = adapter.bounds.max_subscriptions as usize;
    let mut subscriptions = Subscriptions::new(view.clone(), most);
    loop {
        let turn = tokio::select! {
            // In this order: the end of the server or of the token is not put off by a chatty peer, and no subscription that never pauses
            // keeps the client from ending it.
            biased;
            cut = &mut cut => return Ok(Farewell::of(cut, &adapter.runtime)),
            said = peer.next() => {
                let answer = match said? {
                    Said::Goodbye => return Ok(Farewell::answered()),
                    Said::Nonsense => return Ok(Farewell::nonsense()),
                    Said::Binary => Some(invalid("a message is text")),
                    Said::Text(text) => match read(text.as_bytes()) {
                        Ok(asked) => obey(&mut subscriptions, asked),
                        Err(message) => Some(invalid(message)),
                    },
                };
                if let Some(answer) = answer {
                    peer.send([told(&answer)]).await?;
                }
                // A client that never pauses gets what it subscribes to all the same, and what it ends is forgotten as
                // fast as it begins another.
                subscriptions.next().now_or_never()
            }
            turn = subscriptions.next() => Some(turn),
        };
        if let Some(turn) = turn {
            let messages = subscriptions.take(turn).await;
            peer.send(messages).await?;
        }
    }
}

/// A frame that is made for one client.
pub(super) fn told(frame: &Frame) -> Message {
    Message::Text(serde_json::to_string(frame).expect("a frame is JSON").into())
}

/// What the client asks for, once it makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Subscribe { subject: Subject, cursor: Option<String> },
    Unsubscribe(Subject),
}

fn read(text: &[u8]) -> Result<Asked, String> {
    let request = body::parse(text).map_err(|fault| fault.message().to_owned())?;
    let (worker_id, topic) = match &request {
        StreamRequest::Subscribe { worker_id, topic, cursor: _ }
        | StreamRequest::Unsubscribe { worker_id, topic } => (worker_id.clone(), *topic),
    };
    let subject = match (worker_id, topic) {
        (None, Some(Topic::Unknown)) => return Err("`topic` is `catalog` or `attention`".to_owned()),
        (Some(worker), None) => Subject::Worker(worker),
        (None, Some(topic)) => Subject::Topic(topic),
        (None, None) | (Some(_), Some(_)) => {
            return Err("a message names one thing: `worker_id` or `topic`".to_owned());
        }
    };
    match (request, &subject) {
        (StreamRequest::Subscribe { cursor: Some(_), .. }, Subject::Topic(_)) => {
            Err("`cursor` is of a worker; a topic has no log".to_owned())
        }
        (StreamRequest::Subscribe { cursor, .. }, _) => Ok(Asked::Subscribe { subject, cursor }),
        (StreamRequest::Unsubscribe { .. }, _) => Ok(Asked::Unsubscribe(subject)),
    }
}

/// Does what is asked for; what is to be said at once, if anything.
fn obey(subscriptions: &mut Subscriptions, asked: Asked) -> Option<Frame> {
    match asked {
        Asked::Subscribe { subject, cursor } => subscriptions.subscribe(subject, cursor),
        Asked::Unsubscribe(subject) => {
            subscriptions.unsubscribe(&subject);
            Some(subject.unsubscribed())
        }
    }
}

fn invalid(message: impl Into<String>) -> Frame {
    let (code, message) = (DiagnosticCode::InvalidMessage, message.into());
    let diagnostic =
        Diagnostic { code, message, oldest_cursor: None, reason: None, worker_id: None, topic: None };
    Frame::Diagnostic { diagnostic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_one_thing() {
        let worker = || Subject::Worker("wrk_1".parse().unwrap());
        let subscribe = |subject, cursor: Option<&str>| {
            Ok(Asked::Subscribe { subject, cursor: cursor.map(str::to_owned) })
        };
        let wrong = |message: &str| Err(message.to_owned());
        let one_thing = "a message names one thing: `worker_id` or `topic`";
        let cases = [
            (r#"{"kind":"subscribe","worker_id":"wrk_1"}"#, subscribe(worker(), None)),
            (r#"{"kind":"subscribe","worker_id":"wrk_1","cursor":"x"}"#, subscribe(worker(), Some("x"))),
            (r#"{"kind":"subscribe","topic":"catalog"}"#, subscribe(Subject::Topic(Topic::Catalog), None)),
            (r#"{"kind":"unsubscribe","worker_id":"wrk_1"}"#, Ok(Asked::Unsubscribe(worker()))),
            (
                r#"{"kind":"unsubscribe","topic":"attention"}"#,
                Ok(Asked::Unsubscribe(Subject::Topic(Topic::Attention))),
            ),
            (r#"{"kind":"subscribe"}"#, wrong(one_thing)),
            (r#"{"kind":"subscribe","worker_id":"wrk_1","topic":"catalog"}"#, wrong(one_thing)),
            (r#"{"kind":"unsubscribe"}"#, wrong(one_thing)),
            (r#"{"kind":"subscribe","topic":"weather"}"#, wrong("`topic` is `catalog` or `attention`")),
            (
                r#"{"kind":"subscribe","topic":"catalog","cursor":"x"}"#,
                wrong("`cursor` is of a worker; a topic has no log"),
            ),
            ("[]", wrong("a JSON object is expected")),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
        for text in ["", "{", r#"{"kind":"stop"}"#, r#"{"kind":"subscribe","worker_id":"a b"}"#] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
