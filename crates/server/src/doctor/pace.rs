//! What is late, and what is only slow.
//!
//! Time is told by the server's own answers: a wait of five seconds is twenty answers, one behind the other, and lasts
//! longer where each of them takes longer. So nothing is called held back that comes as fast as all else does, over a far
//! way or from a machine that has much to do.

use std::time::Duration;

use musher_client::Client;
use tokio::time::{sleep, timeout};

/// How far apart the answers are at least.
const BEAT: Duration = Duration::from_millis(250);
/// A server answers what it need not wait for at once, over any way. One that does not has had its time.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What comes within this time; `None` when it is late.
pub(super) async fn in_time<T>(
    client: &Client,
    limit: Duration,
    something: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = something => Some(done),
        () = passes(client, limit) => None,
    }
}

async fn passes(client: &Client, limit: Duration) {
    for _beat in 0..limit.as_millis() / BEAT.as_millis() {
        sleep(BEAT).await;
        // What it answers is another check's affair; here it only takes its time.
        if timeout(ANSWER_LIMIT, client.livez()).await.is_err() {
            return;
        }
    }
}
