//! Connections in, requests to whoever answers them.

use std::{convert::Infallible, error::Error};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinSet};

/// More than the clients of any one test or demo; a client that leaks connections stalls and is seen.
const MAX_CONNECTIONS: usize = 64;

/// Serves until it is dropped.
pub(super) async fn serve<A, F, B>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _peer)) => {
                    let answer = answer.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| {
                            let answered = answer(request);
                            async move { Ok::<_, Infallible>(answered.await) }
                        });
                        let mut http = http1::Builder::new();
                        http.timer(TokioTimer::new());
                        // It fails when the client leaves in mid-answer or the script ends the connection; both are
                        // what somebody wanted, and what matters was logged when the request came.
                        let _ended = http.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
                // Out of descriptors: whoever waits for an answer fails and shows it.
                Err(_) => return,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}
