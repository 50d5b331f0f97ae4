//! A queue bounded by items and by bytes.
//!
//! The collector refuses by bytes: a million small events and a hundred large ones press on
//! memory alike only when bytes are counted. Admission never waits; the consumer does.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most items that wait.
    pub items_max: usize,
    /// The most bytes that are admitted and not yet released.
    pub bytes_max: u32,
}

/// Why an item was not admitted; it comes back to the caller.
#[derive(Debug)]
pub enum Refused<T> {
    /// A bound is reached.
    Full(T),
    /// The receiver is gone: the component drains or has ended.
    Closed(T),
}

/// Admits items; cloning shares the queue.
#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::Sender<Admitted<T>>,
    bytes: Arc<Semaphore>,
    limits: Limits,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), bytes: Arc::clone(&self.bytes), limits: self.limits }
    }
}

/// Takes items out.
#[derive(Debug)]
pub struct Receiver<T> {
    items: mpsc::Receiver<Admitted<T>>,
}

/// An item and its share of the byte bound, released on drop: keep it until the work is done.
#[derive(Debug)]
pub struct Admitted<T> {
    /// The item.
    pub item: T,
    /// Its share of the byte bound.
    pub share: OwnedSemaphorePermit,
}

/// Builds a queue with these limits.
pub fn bounded<T>(limits: Limits) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = mpsc::channel(limits.items_max);
    let bytes = Arc::new(Semaphore::new(limits.bytes_max as usize));
    (Sender { items: tx, bytes, limits }, Receiver { items: rx })
}

impl<T> Sender<T> {
    /// Admits `item`, which weighs `bytes`, or gives it back at once.
    pub fn try_send(&self, item: T, bytes: u32) -> Result<(), Refused<T>> {
        let Ok(share) = Arc::clone(&self.bytes).try_acquire_many_owned(bytes) else {
            return Err(Refused::Full(item));
        };
        match self.items.try_send(Admitted { item, share }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(admitted)) => Err(Refused::Full(admitted.item)),
            Err(mpsc::error::TrySendError::Closed(admitted)) => Err(Refused::Closed(admitted.item)),
        }
    }

    /// Returns the bytes admitted and not yet released.
    pub fn bytes_used(&self) -> u32 {
        let free = u32::try_from(self.bytes.available_permits()).unwrap_or(u32::MAX);
        self.limits.bytes_max.saturating_sub(free)
    }

    /// Returns the bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

impl<T> Receiver<T> {
    /// Waits for the next item; `None` when every sender is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Admitted<T>> {
        self.items.recv().await
    }

    /// Takes the next item if one waits.
    pub fn try_recv(&mut self) -> Option<Admitted<T>> {
        self.items.try_recv().ok()
    }

    /// Refuses new items; those inside can still be taken.
    pub fn close(&mut self) {
        self.items.close();
    }
}

#[cfg(test)]
mod tests;
