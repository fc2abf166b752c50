//! How far the end of a server has come: it begins, and after a while it is over.

use tokio::sync::watch;

/// A server's own end. It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct End(watch::Sender<bool>);

/// Tells how far the end of the server has come.
#[derive(Clone, Debug)]
pub(crate) struct Ending(Option<watch::Receiver<bool>>);

impl End {
    pub(crate) fn new() -> (Self, Ending) {
        let (begun, watched) = watch::channel(false);
        (Self(begun), Ending(Some(watched)))
    }

    /// From now on what is under way may end, and nothing waits any more.
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Ending {
    /// The server is somebody else's, and its end too.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    /// Wakes when the end begins.
    pub(crate) async fn begun(&self) {
        match self.0.clone() {
            Some(mut begun) => {
                let _dropped = begun.wait_for(|begun| *begun).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Wakes when it is over: what is left is cut.
    pub(crate) async fn over(&self) {
        match self.0.clone() {
            Some(mut begun) => while begun.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
    }
}
