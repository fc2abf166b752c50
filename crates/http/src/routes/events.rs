//! A log as pages and as a stream, both made of the bytes that the log's readers share.

use std::pin::pin;

use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use musher_core::{EventPage, Frame, From, Runtime};
use musher_protocol::{Cursor, CursorError, ErrorCode, EventsQuery, Payload, WorkerId};
use tokio::time::Instant;

use crate::{call::Call, fault::Fault, metrics::Transport, query, reply, router::Cut, sse};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a page asks for, once it makes sense.
struct Wanted {
    worker: WorkerId,
    from: From,
    types: Option<Vec<&'static str>>,
    limit: usize,
    /// When an empty page is as good as any.
    deadline: Instant,
}

pub(super) async fn events(call: Call) -> Result<Response, Fault> {
    if sse::is_wanted(&call.head.headers) { stream(call).await } else { page(call).await }
}

/// The log from a place on, or from now on with a snapshot before it.
async fn stream(call: Call) -> Result<Response, Fault> {
    let EventsQuery { after, tail, types, limit, wait } = call.query()?;
    if tail.is_some() || limit.is_some() || wait.is_some() {
        return Err(Fault::invalid_query(
            "`tail`, `limit` and `wait` are of pages; a stream has `after` and `types`",
        ));
    }
    let types = types.map(|names| read_types(&names)).transpose()?;
    let cursor = last_event_id(&call.head.headers)?.or(after).map(|text| read_cursor(&text)).transpose()?;
    let worker = call.worker().await?;
    let mut observation = call.view.observe(&worker, cursor).await?;
    if cursor.is_some() {
        observation = observation.without_snapshot();
        if observation.is_at_end() {
            // What tells a browser not to come back.
            return Ok(reply::nothing());
        }
    }
    let slot = call.adapter.stream_slot(Transport::Sse)?;
    Ok(sse::respond(observation, types, call.adapter, call.caller, slot))
}

/// Where a client that was here before goes on. A browser keeps what it was given, whatever the address says.
fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    // No cursor has letters that are not ASCII.
    let text =
        value.to_str().map_err(|_foreign| Fault::new(ErrorCode::CursorMalformed, CursorError.to_string()))?;
    Ok(Some(text.to_owned()))
}

async fn page(call: Call) -> Result<Response, Fault> {
    let EventsQuery { after, tail, types, limit, wait } = call.query()?;
    let limit = query::limit(limit, call.runtime().limits().max_event_batch_items)?;
    let deadline = Instant::now() + query::wait(wait)?.unwrap_or_default();
    let types = types.map(|names| read_types(&names)).transpose()?;
    let from = match (after, tail) {
        (Some(_), Some(_)) => return Err(Fault::invalid_query("`tail` and `after` exclude each other")),
        (None, Some(tail)) => From::Tail(tail),
        (after, None) => From::Cursor(after.map(|text| read_cursor(&text)).transpose()?),
    };
    let wanted = Wanted { worker: call.worker().await?, from, types, limit, deadline };
    let page = read(call.runtime().clone(), call.cut(), wanted).await?;
    Ok(reply::raw(assemble(&page)))
}

/// Reads a page; with time left, the first one that has something.
async fn read(runtime: Runtime, cut: impl Future<Output = Cut>, wanted: Wanted) -> Result<EventPage, Fault> {
    let Wanted { worker, mut from, types, limit, deadline } = wanted;
    let mut cut = pin!(cut);
    let mut waited_at = None;
    loop {
        let page = runtime.read_worker_events(&worker, from, types.as_deref(), limit).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        // A wait that came to nothing means that nothing more will come.
        if !page.frames.is_empty() || left.is_zero() || waited_at == Some(page.next) {
            return Ok(page);
        }
        if page.has_more {
            // All of this page was left out by its type. A store in memory answers without a pause, and a long
            // log must not hold up other requests.
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                waited = runtime.wait_events(&worker, page.next, left) => waited?,
                cut = &mut cut => {
                    cut.check()?;
                    return Ok(page);
                }
            }
            waited_at = Some(page.next);
        }
        from = From::Cursor(Some(page.next));
    }
}

/// The wire's [`EventsReply`](musher_protocol::EventsReply); the envelopes are JSON already.
fn assemble(page: &EventPage) -> Bytes {
    let envelopes: Vec<_> = page.frames.iter().map(Frame::envelope).collect();
    let around = r#"{"events":[],"next":"","has_more":false}"#.len() + page.next.to_string().len();
    let bytes = envelopes.iter().map(|envelope| envelope.len() + 1).sum::<usize>() + around;
    let mut json = BytesMut::with_capacity(bytes);
    json.put_slice(br#"{"events":["#);
    for (index, envelope) in envelopes.iter().enumerate() {
        if index > 0 {
            json.put_u8(b',');
        }
        json.put_slice(envelope);
    }
    json.put_slice(format!(r#"],"next":"{}","has_more":{}}}"#, page.next, page.has_more).as_bytes());
    json.freeze()
}

fn read_cursor(text: &str) -> Result<Cursor, Fault> {
    text.parse().map_err(|error: CursorError| Fault::new(ErrorCode::CursorMalformed, error.to_string()))
}

/// The types that are asked for, each once however often it is named.
fn read_types(names: &str) -> Result<Vec<&'static str>, Fault> {
    if let Some(unknown) = names.split(',').find(|name| !Payload::TYPES.contains(name)) {
        return Err(Fault::invalid_query(format!("`types`: no event has the type `{unknown}`")));
    }
    Ok(Payload::TYPES.iter().filter(|known| names.split(',').any(|name| name == **known)).copied().collect())
}
