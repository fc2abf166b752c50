//! A client's connection: its slot, and the time limit for a client that takes nothing of what is written to it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

use crate::metrics::Metrics;

/// A client's connection. It keeps its slot for as long as the socket is open, whoever holds it: also when it
/// has become a WebSocket.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs from the first write that could not go on until one does.
    stalled: Option<Pin<Box<Sleep>>>,
    metrics: Arc<Metrics>,
    _slot: OwnedSemaphorePermit,
}

impl Link {
    pub(crate) fn new(
        stream: TcpStream,
        slot: OwnedSemaphorePermit,
        write_timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { stream, write_timeout, stalled: None, metrics, _slot: slot }
    }

    /// Fails a write that has not gone on for too long.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        let metrics = &self.metrics;
        stalled.as_mut().poll(cx).map(|()| {
            metrics.cut();
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let link = self.get_mut();
        let written = Pin::new(&mut link.stream).poll_write(cx, bytes);
        link.bounded(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let link = self.get_mut();
        let written = Pin::new(&mut link.stream).poll_write_vectored(cx, slices);
        link.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
