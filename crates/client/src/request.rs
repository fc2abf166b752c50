//! One call: its request, its repetitions, its answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use musher_protocol::{
    ErrorCode, ErrorReply, IdempotencyKey, InputId,
    route::{Method, ROUTES, Route, RouteId},
};
use reqwest::{
    Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    Client, Error, Refusal,
    client::Keys,
    retry::{Failed, random},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A page of a thousand events with some 64 kB each, the most that a server puts into one answer.
const MAX_ANSWER: usize = 128 << 20;
/// An error of Musher's is much shorter; a proxy's page of HTML tells nothing.
const MAX_REFUSAL: usize = 1 << 20;
/// Longer than a server takes for what it does not wait for.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) route: &'static Route,
    path: String,
    query: String,
    pub(crate) headers: HeaderMap,
    key: Key,
    body: Option<Bytes>,
    /// How long one attempt may take.
    limit: Duration,
}

/// By what the server knows a request again.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// By nothing: it reads or removes, which may be done twice.
    Needless,
    /// One that was made for it.
    Made(HeaderValue),
    /// The caller's.
    Own(HeaderValue),
}

impl Request {
    /// A request of this route, whose path has these ids.
    pub(crate) fn of(id: RouteId, ids: &[&str]) -> Self {
        let route = ROUTES.iter().find(|route| route.id == id).expect("the table has every route");
        let key = match route.method {
            Method::Get | Method::Delete => Key::Needless,
            Method::Post => {
                let key = Uuid::now_v7().to_string();
                Key::Made(HeaderValue::from_str(&key).expect("a UUID is a header's value"))
            }
        };
        let (path, headers) = (fill(route.path, ids), HeaderMap::new());
        Self { route, path, query: String::new(), headers, key, body: None, limit: ANSWER_LIMIT }
    }

    pub(crate) fn query(self, query: &impl Serialize) -> Self {
        let query = serde_html_form::to_string(query).expect("a query of the wire is a form");
        Self { query, ..self }
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Self {
        self.headers.insert(CONTENT_TYPE, JSON);
        let body = serde_json::to_vec(body).expect("a request of the wire is JSON");
        Self { body: Some(body.into()), ..self }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The input's own id is the key of its request.
    pub(crate) fn input_id(mut self, id: Option<&InputId>) -> Self {
        if let Some(id) = id {
            self.key = Key::Own(HeaderValue::from_str(id.as_str()).expect("an input's id is visible ASCII"));
        }
        self
    }

    /// Known again by this key, also over calls.
    pub(crate) fn key(mut self, key: &IdempotencyKey) -> Self {
        self.key = Key::Own(HeaderValue::from_str(key.as_str()).expect("a key is visible ASCII"));
        self
    }

    /// The server waits, as it is asked to, for so long before it answers.
    pub(crate) fn waiting(self, longest: Duration) -> Self {
        Self { limit: ANSWER_LIMIT + longest, ..self }
    }

    /// The answers that only a repetition gets and that mean success: what it removes, the attempt before it removed.
    fn was_done_before(&self, error: &Error, is_repetition: bool) -> bool {
        let is_gone = matches!(
            (self.route.id, error.code()),
            (RouteId::DeleteWorker, Some(ErrorCode::WorkerNotFound))
                | (
                    RouteId::DeleteConfigBundle,
                    Some(ErrorCode::ConfigBundleMissing | ErrorCode::ConfigBundleDigestMismatch)
                )
        );
        is_repetition && is_gone
    }
}

impl Client {
    /// Asks, again where that is right, and reads JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.bytes(&request).await?)?)
    }

    /// Asks, again where that is right, and reads to the end of the answer.
    pub(crate) async fn bytes(&self, request: &Request) -> Result<Bytes, Error> {
        let began = Instant::now();
        let mut made = 0;
        let mut may_be_done = false;
        loop {
            let error = match tokio::time::timeout(request.limit, self.attempt(request)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_too_late) => Error::TimeUp(request.limit),
            };
            if request.was_done_before(&error, may_be_done) {
                return Ok(Bytes::new());
            }
            made += 1;
            let failed = Failed::of(&error);
            if failed == Failed::Unknown && !self.is_known_again(request) {
                return Err(error);
            }
            may_be_done |= failed == Failed::Unknown;
            match self.shared.retry.next(failed, made, began.elapsed(), random()) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Bytes, Error> {
        read(self.open(request).await?, MAX_ANSWER).await
    }

    /// Asks once. The answer is a good one; its body is still to be read.
    pub(crate) async fn open(&self, request: &Request) -> Result<Response, Error> {
        let method = match request.route.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut url = format!("{}{}", self.shared.base, request.path);
        if !request.query.is_empty() {
            url = format!("{url}?{}", request.query);
        }
        let mut asking = self.shared.http.request(method, url).headers(request.headers.clone());
        if let Some(key) = self.key_of(request) {
            asking = asking.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(token) = &self.shared.authorization {
            asking = asking.header(AUTHORIZATION, token);
        }
        if let Some(body) = &request.body {
            asking = asking.body(body.clone());
        }
        let response = asking.send().await.map_err(Error::Broken)?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(refused(response).await?)
    }

    /// The key that a request is sent with.
    fn key_of<'a>(&self, request: &'a Request) -> Option<&'a HeaderValue> {
        match (&request.key, self.keys) {
            (Key::Own(key), Keys::EveryPost | Keys::None) | (Key::Made(key), Keys::EveryPost) => Some(key),
            (Key::Made(_), Keys::None) | (Key::Needless, Keys::EveryPost | Keys::None) => None,
        }
    }

    /// Whether nothing is done twice when the request is sent again, though it may have been done.
    fn is_known_again(&self, request: &Request) -> bool {
        request.key == Key::Needless || self.key_of(request).is_some()
    }
}

/// Why an answer is no good one.
/// A year. Nobody waits for that long, and any time that a clock has can be added to it.
const LONGEST_RETRY_AFTER_SECS: u64 = 365 * 24 * 3600;

async fn refused(response: Response) -> Result<Error, Error> {
    let status = response.status().as_u16();
    let seconds =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = seconds.map(|seconds: u64| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER_SECS)));
    let body = match read(response, MAX_REFUSAL).await {
        Err(Error::TooLarge(_)) => return Ok(Error::Foreign { status, retry_after }),
        read => read?,
    };
    Ok(match serde_json::from_slice(&body) {
        Ok(ErrorReply { error: body }) => Error::Refused(Box::new(Refusal { status, retry_after, body })),
        Err(_not_ours) => Error::Foreign { status, retry_after },
    })
}

async fn read(mut response: Response, most: usize) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(bytes) = response.chunk().await.map_err(Error::Broken)? {
        if body.len() + bytes.len() > most {
            return Err(Error::TooLarge(most));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body.freeze())
}

/// A path with ids in the place of its braces. Ids have no character that a path gives a meaning to.
fn fill(path: &str, ids: &[&str]) -> String {
    let mut ids = ids.iter();
    let segments = path.split('/').map(|segment| {
        if segment.starts_with('{') { ids.next().expect("an id for each brace") } else { segment }
    });
    let filled = segments.collect::<Vec<_>>().join("/");
    assert!(ids.next().is_none(), "a brace for each id");
    filled
}
