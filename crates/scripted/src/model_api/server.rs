//! Sockets, requests and the log; what is answered comes from the script.

use std::{future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Body as _, Frame as HttpFrame, Incoming},
    header::{HeaderName, HeaderValue},
};
use tokio::{net::TcpListener, sync::watch, time::timeout};

use super::{
    Answer, Log, Part, Received, Violation, listening,
    playback::{Disconnected, play},
};

/// More than any vendor takes.
const MAX_BODY: usize = 64 << 20;
/// Longer than a body of that size takes over the loopback interface on a busy machine.
const BODY_TIME: Duration = Duration::from_secs(60);

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
        let body = whole(body).await;
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let received = Received {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers.iter().map(text).collect(),
            body: body.as_ref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default(),
        };
        let violations = match &body {
            Some(_) => (self.part.check)(&received),
            None => vec![without_body()],
        };
        let n_bytes = body.map_or(0, |body| body.len());
        let mut number = 0;
        self.log.send_modify(|log| number = log.take(received.clone(), n_bytes, &violations));
        let answer = match violations.first() {
            Some(violation) => violation.refusal().clone(),
            None => (self.part.script)(&received, number),
        };
        response(answer, waiting).await
    }
}

/// The body, where all of it came.
async fn whole(body: Incoming) -> Option<Bytes> {
    // One that says itself that it is too large is not waited for.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return None;
    }
    let read = timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    read.ok().and_then(Result::ok).map(|body| body.to_bytes())
}

fn without_body() -> Violation {
    Violation::new("the body is larger than 64 MiB, or broke off")
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
            self.log.send_modify(Log::abandon);
        }
    }
}

async fn response(answer: Answer, waiting: Waiting) -> Response<Body> {
    let (head, frames) = answer.into_parts();
    let Some(head) = head else { return future::pending().await };
    let body = StreamBody::new(watched(play(frames).into_data_stream(), waiting));
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
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
