//! Ends clients that nobody uses any more, on a thread of its own.
//!
//! Destroying a client of librdkafka joins its threads and may wait for a broker. Whoever drops one
//! on a worker thread, or gives up one that hangs, hands it over here. One that hangs in its end holds
//! up those behind it: how many there are is a metric, and many are warned of.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use crate::metrics;

/// How many clients may wait for their end; beyond it a client is ended by whoever drops it.
const WAITING_MAX: usize = 1024;

/// From how many on those that wait are warned of: more than a worker that lets go of all its tasks
/// hands over at once.
const WAITING_WARNED: usize = 256;

/// How long dropping the reaper waits for the clients that were handed over.
const ENDING_TIME_MAX: Duration = Duration::from_secs(30);

type Client = Box<dyn Any + Send>;

/// Ends clients; dropping it waits until those handed over have ended, or for a bounded time.
pub(crate) struct Reaper {
    clients: Option<SyncSender<Client>>,
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
    /// Closed by the end of the thread; only dropping waits for that.
    ended: Mutex<Receiver<()>>,
    ending_time_max: Duration,
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaper").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Reaper {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        Self::with_ending_time_max(ENDING_TIME_MAX)
    }

    fn with_ending_time_max(ending_time_max: Duration) -> io::Result<Self> {
        let (clients, handed_over) = sync_channel::<Client>(WAITING_MAX);
        let (ending, ended) = sync_channel::<()>(0);
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waiting);
        let run = move || {
            let _ending = ending;
            handed_over.into_iter().for_each(|client| finish(client, &counted));
        };
        let thread = thread::Builder::new().name("kafka-reaper".to_owned()).spawn(run)?;
        let (clients, thread, ended) = (Some(clients), Some(thread), Mutex::new(ended));
        Ok(Self { clients, waiting, thread, ended, ending_time_max })
    }

    /// Ends a client, and returns at once.
    pub(crate) fn end(&self, client: impl Any + Send) {
        let Some(clients) = &self.clients else { return };
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        metrics::client_waits();
        if before == WAITING_WARNED {
            tracing::warn!(
                waiting = before + 1,
                "clients of Kafka wait for their end: one before them hangs, or brokers are slow"
            );
        }
        match clients.try_send(Box::new(client)) {
            Ok(()) => {}
            Err(TrySendError::Full(client) | TrySendError::Disconnected(client)) => {
                finish(client, &self.waiting);
            }
        }
    }
}

/// Ends a client; it counts as waiting until then.
fn finish(client: Client, waiting: &AtomicUsize) {
    drop(client);
    waiting.fetch_sub(1, Ordering::Relaxed);
    metrics::client_ended();
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.clients = None;
        let Some(thread) = self.thread.take() else { return };
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(self.ending_time_max) {
            // A panic in librdkafka's destructor has been reported by the panic hook.
            Err(RecvTimeoutError::Disconnected) | Ok(()) => drop(thread.join()),
            Err(RecvTimeoutError::Timeout) => {
                let waiting = self.waiting.load(Ordering::Relaxed);
                tracing::warn!(waiting, "clients of Kafka do not end; they are left to themselves");
            }
        }
    }
}

#[cfg(test)]
mod tests;
