//! Ends clients that nobody uses any more, on a thread of its own.
//!
//! Destroying a client of librdkafka joins its threads and may wait for a broker. Whoever drops one
//! on a worker thread, or gives up one that hangs, hands it over here.

use std::any::Any;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

/// How many clients may wait for their end; beyond it a client is ended by whoever drops it.
const WAITING_MAX: usize = 1024;

type Client = Box<dyn Any + Send>;

/// Ends clients; dropping it waits until those handed over have ended.
pub(crate) struct Reaper {
    clients: Option<SyncSender<Client>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reaper")
    }
}

impl Reaper {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (clients, waiting) = sync_channel::<Client>(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("kafka-reaper".to_owned())
            .spawn(move || waiting.into_iter().for_each(drop))?;
        Ok(Self { clients: Some(clients), thread: Some(thread) })
    }

    /// Ends a client, and returns at once.
    pub(crate) fn end(&self, client: impl Any + Send) {
        let Some(clients) = &self.clients else { return };
        match clients.try_send(Box::new(client)) {
            Ok(()) => {}
            Err(TrySendError::Full(client) | TrySendError::Disconnected(client)) => drop(client),
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.clients = None;
        if let Some(thread) = self.thread.take() {
            // A panic in librdkafka's destructor has been reported by the panic hook.
            drop(thread.join());
        }
    }
}
