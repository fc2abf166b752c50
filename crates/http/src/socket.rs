//! Sockets that observe: frame by frame, and one reason for their end.

mod many;
mod peer;
mod subscription;

use std::pin::pin;

use axum::extract::ws::WebSocket;
use musher_core::Observation;
use tokio::time::timeout;

use self::peer::{Gone, Peer, Said, message};
use crate::{farewell::Farewell, router::Adapter, token::Caller, view::View};

/// How a socket begins.
pub(crate) enum Opening {
    /// With the log.
    Stream(Box<Observation>),
    /// With its end, for the cursor leads nowhere.
    Refused(Farewell),
    /// With what the client is about to subscribe to.
    Subscriptions,
}

/// By what, to whom, and what of it, a socket is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving<'a> {
    pub(crate) adapter: &'a Adapter,
    pub(crate) caller: &'a Caller,
    pub(crate) view: &'a View,
}

/// Serves a socket to its end.
pub(crate) async fn run(socket: WebSocket, opening: Opening, serving: &Serving<'_>) {
    let adapter = serving.adapter;
    let mut peer = Peer::new(socket, &adapter.bounds, adapter.metrics.clone());
    let whole = async {
        let farewell = match opening {
            Opening::Stream(observation) => follow(&mut peer, *observation, serving).await,
            Opening::Refused(farewell) => Ok(farewell),
            Opening::Subscriptions => many::follow(&mut peer, serving).await,
        };
        if let Ok(farewell) = farewell {
            // Whoever does not take its part in the closing has still been told; the connection ends either way.
            let _in_time = timeout(adapter.bounds.close_timeout, peer.close(farewell)).await;
        }
    };
    tokio::select! {
        () = whole => {}
        () = adapter.ending.over() => {}
    }
}

/// Sends the log for as long as there is one.
async fn follow(
    peer: &mut Peer,
    mut observation: Observation,
    serving: &Serving<'_>,
) -> Result<Farewell, Gone> {
    let Serving { adapter, caller, view: _ } = serving;
    let mut cut = pin!(adapter.cut(caller));
    loop {
        tokio::select! {
            // In this order: the end of the server or of the token is not put off by a chatty peer, and neither waits for a log that never
            // pauses.
            biased;
            cut = &mut cut => return Ok(Farewell::of(cut, &adapter.runtime)),
            said = peer.next() => match said? {
                Said::Goodbye => return Ok(Farewell::answered()),
                Said::Text(_) | Said::Binary | Said::Nonsense => return Ok(Farewell::observation_only()),
            },
            frames = observation.next() => match frames {
                Ok(Some(frames)) => peer.send(frames.iter().map(message)).await?,
                Ok(None) => return Ok(Farewell::over(&observation, &adapter.runtime)),
                Err(error) => return Ok(Farewell::broken(error)),
            },
        }
    }
}
