//! The queue between callers and the journal's thread, bounded by bytes and by items.
//!
//! Appends are admitted at once or not at all; transactions wait for room. Control requests
//! have no bound of their own: each caller waits for the answer before it can ask again.
//! While the thread syncs one group, the next gathers here.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::config::Config;
use super::request::{Admitted, Control, Request, Work};

/// What an item weighs beside its records: bounds queues of tiny items.
const ITEM_BYTES: usize = 256;

/// What the thread does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Commit these together.
    Group(Vec<Admitted>),
    /// Do this alone.
    Control(Control),
    /// Nothing came for a while.
    Idle,
    /// The queue is closed and empty.
    Closed,
}

/// Why work was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
}

#[derive(Debug)]
struct Items {
    waiting: VecDeque<Request>,
    is_closed: bool,
}

/// The queue between callers and the journal's thread.
#[derive(Debug)]
pub(super) struct Queue {
    items: Mutex<Items>,
    arrived: Condvar,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    items_max: usize,
    group_bytes_max: usize,
}

impl Queue {
    pub(super) fn new(config: &Config) -> Self {
        let fit = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let bytes_max = fit(config.queue_bytes_max.bytes()).min(Semaphore::MAX_PERMITS);
        Self {
            items: Mutex::new(Items { waiting: VecDeque::new(), is_closed: false }),
            arrived: Condvar::new(),
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            items_max: config.queue_items_max,
            group_bytes_max: fit(config.group_bytes_max.bytes()),
        }
    }

    /// Returns the bytes that wait or are being committed.
    pub(super) fn bytes_used(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes.available_permits())
    }

    /// Takes a share of the queue's bytes at once, or refuses.
    pub(super) fn try_share(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        match Arc::clone(&self.bytes).try_acquire_many_owned(self.weight(bytes)) {
            Ok(share) => Ok(share),
            Err(TryAcquireError::NoPermits) => Err(Refusal::Full),
            Err(TryAcquireError::Closed) => Err(Refusal::Closed),
        }
    }

    /// Waits for a share of the queue's bytes. Cancel-safe.
    pub(super) async fn share(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let acquired = Arc::clone(&self.bytes).acquire_many_owned(self.weight(bytes)).await;
        acquired.or(Err(Refusal::Closed))
    }

    /// A single item never weighs more than the whole queue, or it could not be admitted at all.
    fn weight(&self, bytes: usize) -> u32 {
        u32::try_from((bytes + ITEM_BYTES).min(self.bytes_max)).unwrap_or(u32::MAX)
    }

    /// Adds an append; refused when too many items wait.
    pub(super) fn push_append(&self, admitted: Admitted) -> Result<(), Refusal> {
        self.push(Request::Work(admitted), self.items_max)
    }

    /// Adds a request of a caller that waits for its answer.
    pub(super) fn push_awaited(&self, request: Request) -> Result<(), Refusal> {
        self.push(request, usize::MAX)
    }

    fn push(&self, request: Request, items_max: usize) -> Result<(), Refusal> {
        let mut items = self.lock();
        if items.is_closed {
            return Err(Refusal::Closed);
        }
        if items.waiting.len() >= items_max {
            return Err(Refusal::Full);
        }
        let was_empty = items.waiting.is_empty();
        items.waiting.push_back(request);
        drop(items);
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Refuses what comes from now on; what waits can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.bytes.close();
        self.arrived.notify_one();
    }

    /// Drops what still waits, when the thread cannot go on: its callers learn that the outcome
    /// is unknown.
    pub(super) fn abandon(&self) {
        self.close();
        let waiting = std::mem::take(&mut self.lock().waiting);
        drop(waiting);
    }

    /// Waits up to `wait_max` for something to do.
    pub(super) fn next(&self, wait_max: Duration) -> Next {
        let mut items = self.lock();
        if items.waiting.is_empty() && !items.is_closed {
            let idle = |items: &mut Items| items.waiting.is_empty() && !items.is_closed;
            let (guard, _timed_out) = self
                .arrived
                .wait_timeout_while(items, wait_max, idle)
                .unwrap_or_else(PoisonError::into_inner);
            items = guard;
        }
        match items.waiting.pop_front() {
            None if items.is_closed => Next::Closed,
            None => Next::Idle,
            Some(Request::Control(control)) => Next::Control(control),
            Some(Request::Work(first)) => Next::Group(self.gather(&mut items.waiting, first)),
        }
    }

    /// Takes what may be committed together with `first`: up to the group's bytes, up to the
    /// next control request, and at most one transaction of each task.
    fn gather(&self, waiting: &mut VecDeque<Request>, first: Admitted) -> Vec<Admitted> {
        let mut tasks = HashSet::new();
        let mut bytes = 0;
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(admitted) = next.take() {
            bytes += weight_of(&admitted.work);
            if let Work::Transact(request) = &admitted.work {
                tasks.insert(request.producer.task);
            }
            group.push(admitted);
            if let Some(Request::Work(following)) = waiting.front() {
                let fits = bytes + weight_of(&following.work) <= self.group_bytes_max;
                let first_of_task = match &following.work {
                    Work::Append(_) => true,
                    Work::Transact(request) => !tasks.contains(&request.producer.task),
                };
                if fits
                    && first_of_task
                    && let Some(Request::Work(following)) = waiting.pop_front()
                {
                    next = Some(following);
                }
            }
        }
        group
    }

    fn lock(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight_of(work: &Work) -> usize {
    ITEM_BYTES + work.pieces().iter().map(|piece| piece.bytes.len()).sum::<usize>()
}

#[cfg(test)]
mod tests;
