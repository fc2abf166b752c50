//! Sockets, requests and the log; what is answered comes from the scenario.

use std::{
    future,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use uuid::Uuid;

use super::{
    Log,
    answer::INPUT_TOKENS,
    prompt::Turn,
    request::{Received, Reply, Route},
    scenario::{Refusal, Script, script},
    violation::Violation,
};
use crate::{
    listening,
    playback::{Frame, Playback, play},
};

/// The vendor takes 32 MB.
const MAX_BODY: usize = 32 << 20;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, api_key: String, log: watch::Sender<Log>) {
    let desk = Arc::new(Desk { api_key, log });
    listening::serve(listener, move |request| {
        let desk = Arc::clone(&desk);
        async move { desk.answer(request).await }
    })
    .await;
}

/// Where requests are checked, logged and answered.
struct Desk {
    api_key: String,
    log: watch::Sender<Log>,
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Playback> {
        if request.method() == Method::HEAD && request.uri().path() == "/" {
            return response(200, "text/plain", Vec::new());
        }
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes());
        let received = Received {
            method: head.method,
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers,
            body: body.as_ref().ok().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default(),
        };
        let model = received.body["model"].as_str().unwrap_or_default().to_owned();
        let is_whole = body.is_ok();
        match self.record(received, is_whole) {
            Ok(Plan::Count) => json_response(200, &json!({"input_tokens": INPUT_TOKENS})),
            Ok(Plan::Play(_, Script::Refuse(refusal))) => refuse(refusal),
            Ok(Plan::Play(_, Script::Silence)) => future::pending().await,
            Ok(Plan::Play(Reply::Whole, Script::Answer(answer))) => {
                json_response(200, &answer.whole(&model, Uuid::new_v4()))
            }
            Ok(Plan::Play(Reply::Stream, Script::Answer(answer))) => {
                response(200, "text/event-stream; charset=utf-8", answer.frames(&model, Uuid::new_v4()))
            }
            Err(violation) => {
                let (status, kind) = violation.refusal();
                refuse(Refusal { status, kind, message: violation.to_string(), headers: Vec::new() })
            }
        }
    }

    /// Logs a request and what is wrong with it in one change, so that who sees the request sees
    /// that too.
    fn record(&self, received: Received, is_whole: bool) -> Result<Plan, Violation> {
        let checked = if is_whole { received.check(&self.api_key) } else { Err(Violation::Body) };
        let turn = Turn::of(&received.body);
        let now = unix_now();
        let mut plan = Ok(Plan::Count);
        self.log.send_modify(|log| {
            plan = checked.and_then(|route| match route {
                Route::CountTokens => Ok(Plan::Count),
                Route::Messages { reply } => {
                    let attempt = log.attempts.entry(turn.prompt.clone()).or_default();
                    *attempt += 1;
                    Ok(Plan::Play(reply, script(&turn, *attempt, now)?))
                }
            });
            log.violations.extend(plan.as_ref().err().cloned());
            log.requests.push(received);
        });
        plan
    }
}

/// How a request that the vendor would take is answered.
enum Plan {
    Count,
    Play(Reply, Script),
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

fn refuse(refusal: Refusal) -> Response<Playback> {
    let error = json!({"type": refusal.kind, "message": refusal.message});
    let mut response = json_response(
        refusal.status,
        &json!({"type": "error", "error": error, "request_id": format!("req_{}", Uuid::new_v4().simple())}),
    );
    for (name, value) in refusal.headers {
        let value = HeaderValue::try_from(value).expect("scenarios write only visible characters");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

fn json_response(status: u16, body: &Value) -> Response<Playback> {
    response(status, "application/json", vec![Frame::Bytes(Bytes::from(body.to_string()))])
}

fn response(status: u16, content_type: &'static str, frames: Vec<Frame>) -> Response<Playback> {
    let mut response = Response::new(play(frames));
    *response.status_mut() = StatusCode::from_u16(status).expect("scenarios only use statuses that exist");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
