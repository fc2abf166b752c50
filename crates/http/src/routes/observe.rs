//! Sockets that observe, up to their upgrade.

use axum::{
    extract::{FromRequestParts as _, WebSocketUpgrade},
    response::Response,
};
use musher_core::{ReadError, Wall, stands};
use musher_protocol::{Cursor, CursorError, ObserveQuery};

use crate::{
    call::Call,
    farewell::Farewell,
    fault::Fault,
    metrics::Transport,
    socket::{self, Opening, Serving},
};

/// What clients send is a name and a cursor at most. It is read whole up to here, so that they get an answer to more.
const MAX_RECEIVED_BYTES: usize = 64 << 10;
/// Little is read: names, pings, pongs and closes.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// What is collected before it is written: what an observation answers with at once, so that a busy log takes
/// one system call for many events.
const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// The most that ever waits to be written. A message is only taken once those before it are under this buffer's
/// usual size, so it has to hold one message. Large bodies are not in the log; the longest event is a worker's
/// creation, whose objective has 2 MiB like every input, and JSON may write that six times as long.
const MAX_WRITE_BUFFER_BYTES: usize = WRITE_BUFFER_BYTES + (16 << 20);

pub(super) async fn observe(call: Call) -> Result<Response, Fault> {
    let ObserveQuery { cursor } = call.query()?;
    let worker = call.worker().await?;
    let cursor = cursor.map(|text| text.parse::<Cursor>()).transpose();
    let opening = match cursor {
        Err(error @ CursorError) => {
            // An unknown worker is answered before the upgrade, whatever the cursor.
            call.runtime().worker_detail(&worker).await?;
            Opening::Refused(Farewell::cursor_malformed(&error))
        }
        Ok(cursor) => match call.view.observe(&worker, cursor).await {
            Ok(observation) => Opening::Stream(Box::new(observation)),
            Err(ReadError::Cursor(problem)) => Opening::Refused(Farewell::cursor_problem(problem)),
            Err(error) => return Err(error.into()),
        },
    };
    upgrade(call, opening).await
}

pub(super) async fn observe_many(call: Call) -> Result<Response, Fault> {
    upgrade(call, Opening::Subscriptions).await
}

async fn upgrade(mut call: Call, opening: Opening) -> Result<Response, Fault> {
    let upgrade = WebSocketUpgrade::from_request_parts(&mut call.head, &())
        .await
        .map_err(|error| Fault::invalid_request(format!("this is a WebSocket: {}", error.body_text())))?;
    let slot = call.adapter.stream_slot(match opening {
        Opening::Stream(_) | Opening::Refused(_) => Transport::Socket,
        Opening::Subscriptions => Transport::ManySocket,
    })?;
    let Call { adapter, caller, view, .. } = call;
    let most = if stands(Wall::MessageSize) { MAX_RECEIVED_BYTES } else { usize::MAX };
    Ok(upgrade
        .max_message_size(most)
        .max_frame_size(most)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .on_failed_upgrade(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "upgrade to a socket");
        })
        .on_upgrade(move |socket| async move {
            socket::run(socket, opening, &Serving { adapter: &adapter, caller: &caller, view: &view }).await;
            drop(slot);
        }))
}
