//! The accept loop: every connection has a slot, a task that is awaited, and limits of its own.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use musher_core::{Runtime, Wall, stands};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    ending::{End, Ending},
    link::Link,
    metrics::Metrics,
    options::{Bounds, HttpOptions},
    router,
};

/// The largest head of a request; our longest is a cursor and a token.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Three times what a browser sends.
const MAX_HEADERS: usize = 64;
/// How many of the largest bodies are read and thrown away behind a client's last answer. Most clients write all of a
/// request before they read the answer, and some write another behind it.
const LINGER_BODIES: usize = 4;
/// When the process or the system is out of descriptors or memory, connections have to end before accepting can
/// go on; asking again at once would only burn what they need for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(
    runtime: Runtime,
    listener: TcpListener,
    options: HttpOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let bounds = options.bounds.clone();
    let (end, ending) = End::new();
    let metrics = Metrics::new();
    let router = router::build(runtime, options, ending.clone(), metrics.clone());
    let slots = Arc::new(Semaphore::new(bounds.max_connections as usize));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut is_troubled = false;
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                is_troubled = false;
                // Answers are written whole; waiting for more to fill a packet only adds latency.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "set no delay");
                }
                let (link, left) = Link::new(stream, bounds.write_timeout, metrics.clone());
                let (router, bounds, ending) = (router.clone(), bounds.clone(), ending.clone());
                connections.spawn(async move {
                    // Boxed, for what comes of a WebSocket outlives it by hours.
                    Box::pin(converse(link, router, &bounds, &ending)).await;
                    if let Ok(stream) = left.await {
                        linger(stream, &bounds, &ending).await;
                    }
                    drop(slot);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                if !is_troubled {
                    tracing::error!(error = &error as &dyn std::error::Error, "accept a connection");
                }
                is_troubled = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    end.begin();
    // A slot is free once its socket is closed, be it still HTTP or a WebSocket by now.
    if timeout(bounds.shutdown_timeout, slots.acquire_many(bounds.max_connections)).await.is_err() {
        let left = bounds.max_connections as usize - slots.available_permits();
        tracing::warn!(left, "connections did not end in time and are cut");
    }
    drop(end);
    connections.shutdown().await;
    Ok(())
}

/// Accepts one connection once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.expect("the slots are never closed");
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, slot))
}

/// Errors of a connection that ended before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

/// Serves one connection until it ends or becomes a WebSocket.
async fn converse(link: Link, router: Router, bounds: &Bounds, ending: &Ending) {
    let io = TokioIo::new(link);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(stands(Wall::HeadTimeout).then_some(bounds.head_timeout))
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(io, TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ending.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that leaves, is late or speaks no HTTP is no fault of the server.
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
    }
}

/// Takes what a client still says, and closes the socket when it is silent, has closed its side or says too much. A socket
/// that is closed with anything unread is reset, and the client may lose what it was told last: why it was refused.
async fn linger(mut stream: TcpStream, bounds: &Bounds, ending: &Ending) {
    let listening = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut unheard = vec![0; 16 << 10];
        let mut left = bounds.max_body_bytes.saturating_mul(LINGER_BODIES);
        while let Ok(Ok(read @ 1..)) = timeout(bounds.close_timeout, stream.read(&mut unheard)).await
            && read <= left
        {
            left -= read;
        }
    };
    tokio::select! {
        _late = timeout(bounds.body_timeout, listening) => {}
        // Whoever was refused may as well lose its connection for the server's end.
        () = ending.begun() => {}
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task panicked");
    }
}
