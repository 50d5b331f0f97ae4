//! A connection's socket with deadlines: no client keeps a connection by doing nothing.
//!
//! ```text
//!            first byte           head complete          answer made
//!  RESTING ─────────────▶ HEAD ─────────────────▶ SERVING ───────────▶ RESTING
//!  idle_timeout: closed   header_timeout: 408     the body reader's own deadlines
//! ```
//!
//! Writing has its own deadline: from the moment the client stops taking bytes. The timer is lazy:
//! it stays armed for an old deadline, and when it fires the deadline is looked at again, so that
//! a busy connection costs no timer operation for a request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::config::Config;

/// What a connection waits for; cloning shares it between the socket and the requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phase(Arc<PhaseInner>);

#[derive(Debug, Default)]
struct PhaseInner {
    /// Counts changes; the remainder by three is the phase. A change is thereby seen even when
    /// the phase is the same again.
    changes: AtomicU64,
    lingers: AtomicBool,
}

const RESTING: u64 = 0;
const HEAD: u64 = 1;
const SERVING: u64 = 2;

impl Phase {
    /// A request's head is complete.
    pub(crate) fn serve(&self) {
        self.advance_to(SERVING);
    }

    /// A request's answer is made.
    pub(crate) fn rest(&self) {
        self.advance_to(RESTING);
    }

    /// The answer goes out although the client may still be sending: read on for a while after
    /// it, or closing would reset the connection and destroy the answer on its way.
    pub(crate) fn linger(&self) {
        self.0.lingers.store(true, Ordering::Relaxed);
    }

    fn advance_to(&self, phase: u64) {
        // Only the connection's own task changes it.
        let now = self.0.changes.load(Ordering::Relaxed);
        let steps = (phase + 3 - now % 3) % 3;
        let steps = if steps == 0 { 3 } else { steps };
        self.0.changes.store(now + steps, Ordering::Relaxed);
    }

    fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Relaxed)
    }
}

/// The deadlines of a connection.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    idle: Duration,
    header: Duration,
    write: Duration,
}

/// How long a connection with an unread body is read after its answer.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// How much of it is read.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// What a client gets that does not finish a request's head.
const HEAD_TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: application/problem+json\r\ncontent-length: 128\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,\"code\":\"head_too_slow\",\
    \"detail\":\"the head did not arrive in time\"}\n";

/// A socket with deadlines.
#[derive(Debug)]
pub(crate) struct Paced {
    socket: TokioIo<TcpStream>,
    phase: Phase,
    timeouts: Timeouts,
    read: Watch,
    write: Watch,
    /// The bytes that lingering may still read; `None` before it begins.
    linger_left: Option<usize>,
}

/// Something that is waited for, and since when.
#[derive(Debug, Default)]
struct Watch {
    /// What is waited for, as its count of changes, and since when.
    since: Option<(u64, Instant)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Returns ready when `what` has been waited for longer than `timeout`.
    fn poll_expired(&mut self, cx: &mut Context<'_>, what: u64, timeout: Duration) -> Poll<()> {
        let begin = match self.since {
            Some((same, begin)) if same == what => begin,
            _ => {
                let now = Instant::now();
                self.since = Some((what, now));
                now
            }
        };
        let deadline = begin + timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn progressed(&mut self) {
        self.since = None;
    }
}

impl Paced {
    pub(crate) fn new(socket: TcpStream, config: &Config, phase: Phase) -> Self {
        let timeouts = Timeouts {
            idle: config.idle_timeout,
            header: config.header_timeout,
            write: config.write_timeout,
        };
        let (read, write) = (Watch::default(), Watch::default());
        Self { socket: TokioIo::new(socket), phase, timeouts, read, write, linger_left: None }
    }

    /// Checks the deadline of a read that found nothing; ready means: as if the client had gone.
    fn poll_read_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let changes = self.phase.changes();
        let timeout = match changes % 3 {
            RESTING => self.timeouts.idle,
            HEAD => self.timeouts.header,
            // The body reader has deadlines of its own.
            _ => return Poll::Pending,
        };
        ready!(self.read.poll_expired(cx, changes, timeout));
        if changes % 3 == HEAD {
            // Earlier answers were taken whole, or writing would be what is waited for: these
            // few bytes fit the socket's buffer.
            if let Err(error) = self.socket.inner().try_write(HEAD_TOO_SLOW) {
                tracing::debug!(%error, "slow client was gone already");
            }
        }
        Poll::Ready(())
    }

    /// Turns a write that could not go on into an error once its deadline is over.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write.progressed();
            return written;
        }
        ready!(self.write.poll_expired(cx, 0, self.timeouts.write));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads and drops what the client still sends.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0_u8; 8 << 10];
        loop {
            let left = self.linger_left.get_or_insert(LINGER_BYTES_MAX);
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(self.socket.inner_mut()).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && *left > 0 => {
                    *left = left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_end_or_enough) => return Poll::Ready(()),
                Poll::Pending => return self.read.poll_expired(cx, u64::MAX, LINGER_TIME),
            }
        }
    }
}

impl Read for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.socket).poll_read(cx, buf) {
            Poll::Pending => {
                ready!(self.poll_read_expired(cx));
                // Nothing was put into the buffer: the end of the stream.
                Poll::Ready(Ok(()))
            }
            ready => {
                if self.phase.changes() % 3 == RESTING {
                    self.phase.advance_to(HEAD);
                }
                ready
            }
        }
    }
}

impl Write for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_left.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        }
        if self.phase.0.lingers.load(Ordering::Relaxed) {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
