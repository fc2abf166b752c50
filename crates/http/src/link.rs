//! A client's connection: the time limit for a client that takes nothing of what is written to it, and what becomes of
//! its socket once nobody reads it any more.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::{Sleep, sleep},
};

use crate::metrics::Metrics;

/// A client's connection. Whoever holds it (HTTP, and later perhaps a WebSocket) drops it when it has nothing more to say.
#[derive(Debug)]
pub(crate) struct Link {
    /// Until it is dropped.
    stream: Option<TcpStream>,
    write_timeout: Duration,
    /// Runs from the first write that could not go on until one does.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Something was said to the client, so that there is something to hear.
    has_said: bool,
    /// The client has said its last word, or hears nothing more.
    is_over: bool,
    left: Option<oneshot::Sender<TcpStream>>,
    metrics: Arc<Metrics>,
}

impl Link {
    /// A connection, and its socket once it is dropped: none where the client is gone by then, or was told nothing.
    pub(crate) fn new(
        stream: TcpStream,
        write_timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> (Self, oneshot::Receiver<TcpStream>) {
        let (left, leaves) = oneshot::channel();
        let (stream, left) = (Some(stream), Some(left));
        (
            Self { stream, write_timeout, stalled: None, has_said: false, is_over: false, left, metrics },
            leaves,
        )
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("a link has its socket until it is dropped"))
    }

    /// Fails a write that has not gone on for too long.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = written {
            self.stalled = None;
            self.has_said |= written.is_ok();
            self.is_over |= written.is_err();
            return Poll::Ready(written);
        }
        let limit = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        self.metrics.cut();
        self.is_over = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let may_hear = self.has_said && !self.is_over;
        if let (Some(stream), Some(left), true) = (self.stream.take(), self.left.take(), may_hear) {
            // Nobody waits for it when the server is over; then it is closed here.
            drop(left.send(stream));
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let link = self.get_mut();
        let before = into.remaining();
        let read = ready!(link.stream().poll_read(cx, into));
        link.is_over |= read.is_err() || (before > 0 && into.remaining() == before);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let link = self.get_mut();
        let written = link.stream().poll_write(cx, bytes);
        link.bounded(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let link = self.get_mut();
        let written = link.stream().poll_write_vectored(cx, slices);
        link.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(TcpStream::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_shutdown(cx)
    }
}
