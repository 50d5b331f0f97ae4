//! Shows the records of a topic as they come: reads its partitions side by side and writes one
//! line of JSON for each record.
//!
//! ```text
//!   partition 0 ─▶ held ─┐                                       ┌─▶ answer of the admin API
//!   partition 1 ─▶ held ─┼─▶ oldest first ─▶ filter ─▶ chunks ─▶ ┤
//!   partition 2 ─▶ held ─┘                  (a queue of 4)       └─▶ the command itself
//! ```
//!
//! A filter may let nothing through for long, or for ever: now and then, and once where the topic ended
//! when it began, a tap says how many records it has looked at.
//!
//! A tap is no task: it has no position, holds back no retention, and ends when nobody takes its
//! lines any more. What it holds is bounded, whatever the topic and the reader's pace.

mod filter;
mod from;
mod line;
mod merge;
mod request;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_log::Log;
use millstream_runtime::{Clock, Context, TaskHandle, TaskKind, spawn_blocking};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

pub(crate) use filter::Filter;
pub(crate) use from::From;
pub(crate) use line::{Deleted, Line, Looked, Place, Row};
pub(crate) use merge::Stopped;
pub(crate) use request::{Ask, AskError, Request};

use merge::Merge;

/// How many chunks wait for whoever takes them.
const CHUNKS_MAX: usize = 4;

/// From how many bytes on a chunk goes out before more is read.
const CHUNK_BYTES: usize = 64 << 10;

/// How long nobody may take a line before the tap ends: what it reads may be deleted meanwhile, and
/// an open file keeps its space.
const STALL_TIME_MAX: Duration = Duration::from_secs(60);

/// The lines of a tap. Dropping them ends it.
#[derive(Debug)]
pub(crate) struct Lines {
    chunks: mpsc::Receiver<Bytes>,
    /// The thread that reads; it ends when nobody can take its lines.
    _thread: TaskHandle<()>,
}

impl Lines {
    /// Returns the next whole lines; `None` after the last. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.chunks.recv().await
    }
}

/// Starts a tap on a thread of its own.
pub(crate) fn start(cx: &Context, log: Arc<dyn Log>, request: Request, clock: Clock) -> Lines {
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    let (cx, runtime) = (cx.clone(), Handle::current());
    let read = move || runtime.block_on(run(&cx, &*log, request, (&clock, sender)));
    Lines { chunks, _thread: spawn_blocking(TaskKind("tap"), read) }
}

/// Reads until the last record that was asked for, or until nobody listens.
async fn run(
    cx: &Context,
    log: &dyn Log,
    request: Request,
    (clock, chunks): (&Clock, mpsc::Sender<Bytes>),
) {
    let gone = chunks.clone();
    let mut out = Chunks { chunks, pending: Vec::new() };
    let tapping = async {
        let ended = match Merge::open(cx, log, &request, clock).await {
            Ok(merge) => merge.run(cx, &request, &mut out).await,
            Err(stopped) => Err(stopped),
        };
        match ended {
            Ok(()) => out.push(&Line::End),
            Err(Stopped::NobodyListens) => return,
            Err(Stopped::Log(error)) => {
                out.push(&Line::Failed(format!("{:#}", anyhow::Error::new(error))));
            }
        }
        // The last line; whoever has gone misses nothing.
        drop(out.flush().await);
    };
    tokio::select! {
        () = tapping => {}
        () = gone.closed() => {}
    }
}

/// Lines on their way out.
#[derive(Debug)]
struct Chunks {
    chunks: mpsc::Sender<Bytes>,
    pending: Vec<u8>,
}

impl Chunks {
    /// Adds a line.
    fn push(&mut self, line: &Line) {
        serde_json::to_writer(&mut self.pending, line).expect("a line has nothing but text in it");
        self.pending.push(b'\n');
    }

    /// Returns whether enough waits to go out.
    fn is_full(&self) -> bool {
        self.pending.len() >= CHUNK_BYTES
    }

    /// Hands out what waits; waits until there is room for it.
    async fn flush(&mut self) -> Result<(), Stopped> {
        if self.pending.is_empty() {
            return if self.chunks.is_closed() { Err(Stopped::NobodyListens) } else { Ok(()) };
        }
        let chunk = Bytes::from(std::mem::take(&mut self.pending));
        match self.chunks.send_timeout(chunk, STALL_TIME_MAX).await {
            Ok(()) => Ok(()),
            Err(_closed_or_stalled) => Err(Stopped::NobodyListens),
        }
    }
}

#[cfg(test)]
mod tests;
