//! Response bodies that play a list of frames.

use std::{collections::VecDeque, fmt, future, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame as HttpFrame;
use tokio::{task::yield_now, time::sleep};

/// One step of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// These are sent.
    Bytes(Bytes),
    /// Nothing is, for so long.
    Pause(Duration),
    /// The connection ends here, without an end of the body.
    Disconnect,
    /// Nothing comes any more, and the connection stays.
    Silence,
}

/// A body that plays frames in order.
pub(super) type Playback = UnsyncBoxBody<Bytes, Disconnected>;

pub(super) fn play(frames: Vec<Frame>) -> Playback {
    StreamBody::new(stream::unfold(VecDeque::from(frames), next)).boxed_unsync()
}

type Step = Result<HttpFrame<Bytes>, Disconnected>;

async fn next(mut frames: VecDeque<Frame>) -> Option<(Step, VecDeque<Frame>)> {
    loop {
        match frames.pop_front()? {
            Frame::Bytes(bytes) => return Some((Ok(HttpFrame::data(bytes)), frames)),
            Frame::Pause(time) => sleep(time).await,
            Frame::Disconnect => {
                // hyper drops what it has buffered when a body fails, and flushes when it is
                // pending: being pending once makes the frames before this one arrive.
                yield_now().await;
                return Some((Err(Disconnected), frames));
            }
            Frame::Silence => future::pending().await,
        }
    }
}

/// The script wants the connection to end.
#[derive(Debug)]
pub(super) struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script ends the connection")
    }
}

impl std::error::Error for Disconnected {}
