//! Sockets, requests and the log; what is answered comes from the test.

use std::{future, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame as HttpFrame, Incoming},
    header::{HeaderName, HeaderValue},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use super::{Answer, Log, Part, Received};
use crate::{
    listening,
    playback::{Disconnected, play},
};

/// A status that nobody mends, repeats or expects, so that no test passes over a violation.
const VIOLATION: u16 = 418;
/// More than any vendor takes.
const MAX_BODY: usize = 64 << 20;

type Body = UnsyncBoxBody<Bytes, Disconnected>;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, part: Part, log: watch::Sender<Log>) {
    let desk = Arc::new(Desk { part, log });
    listening::serve(listener, move |request| {
        let desk = Arc::clone(&desk);
        async move { desk.answer(request).await }
    })
    .await;
}

/// Where requests are checked, logged and answered.
#[derive(Debug)]
struct Desk {
    part: Part,
    log: watch::Sender<Log>,
}

impl Desk {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        // From here on the client waits, and may stop to.
        let waiting = Waiting { log: self.log.clone(), is_over: false };
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes());
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let received = Received {
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers.iter().map(text).collect(),
            body: body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default(),
        };
        let violations = (self.part.check)(&received);
        let mut number = 0;
        let is_refused = !violations.is_empty();
        // Without a word of what is wrong: a client may leave out what a message names, and go on.
        let refusal = json!({"error": {"message": "the request is not what the vendor takes"}});
        self.log.send_modify(|log| {
            number = log.requests.len();
            log.requests.push(received.clone());
            log.violations.extend(violations);
        });
        let answer = if is_refused {
            Answer::json(VIOLATION, &refusal)
        } else {
            (self.part.script)(&received, number)
        };
        if answer.status == 0 {
            future::pending::<()>().await;
        }
        response(answer, waiting)
    }
}

/// Counts an answer as abandoned when it is dropped before its end.
#[derive(Debug)]
struct Waiting {
    log: watch::Sender<Log>,
    is_over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            self.log.send_modify(|log| log.n_abandoned += 1);
        }
    }
}

fn response(answer: Answer, waiting: Waiting) -> Response<Body> {
    let Answer { status, headers, frames } = answer;
    let body = StreamBody::new(watched(play(frames).into_data_stream(), waiting));
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).expect("tests only use statuses that exist");
    for (name, value) in headers {
        let value = HeaderValue::try_from(value).expect("tests write only visible characters");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

/// The same bytes; their end is noticed, and so is when nobody waits for it.
fn watched(
    bytes: impl Stream<Item = Result<Bytes, Disconnected>>,
    waiting: Waiting,
) -> impl Stream<Item = Result<HttpFrame<Bytes>, Disconnected>> {
    stream::unfold((Box::pin(bytes), waiting), |(mut bytes, mut waiting)| async move {
        let next = bytes.next().await;
        waiting.is_over = !matches!(next, Some(Ok(_)));
        Some((next?.map(HttpFrame::data), (bytes, waiting)))
    })
}
