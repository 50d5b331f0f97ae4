//! Makes many requests one append.
//!
//! Requests that are ready in the same turn of a worker write their records into the same
//! batch; the batch goes to the log when the worker has run everything that was ready. So the
//! size of an append follows the load by itself: one request when idle, dozens when busy, and no
//! timer in between. A request's records go into one batch whole, and a batch is one append: atomic
//! on a journal, each record's own on Kafka, which is why each request asks the outcome for its own
//! records.
//!
//! All callers of a combiner run on its worker's thread; the locks are never contended.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use millstream_log::{Append, EnqueueError, Log};
use millstream_model::{PartitionId, Record, RecordBatchBuilder, TopicPartition};
use tokio::sync::Notify;

use crate::budget::Share;
use crate::collector::Topic;
use crate::outcome::{Outcome, Place};
use crate::worker::Shared;

/// The appends of one worker that the log has not settled yet. While one is being synced others
/// wait in the log, so that its next group is ready when the disk is; beyond that, requests that
/// wait here make one larger append. (Of 1, 2 and 4, 4 had the best latency at the same cost.)
const APPENDS_INFLIGHT_MAX: usize = 4;

/// Takes requests' records and hands them to the log; cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Combiner(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Mutex<VecDeque<Batch>>,
    filled: Notify,
    partitions: Vec<TopicPartition>,
    append_bytes_max: usize,
}

/// Records of one request or several, by partition.
#[derive(Debug)]
pub(crate) struct Batch {
    builders: Vec<RecordBatchBuilder>,
    bytes: usize,
    requests: u32,
    /// Held until the log has settled the append.
    share: Share,
    flight: Arc<Flight>,
}

/// An append that requests wait for.
#[derive(Debug, Default)]
struct Flight {
    state: Mutex<FlightState>,
}

#[derive(Debug)]
enum FlightState {
    Waiting(Vec<Waker>),
    Settled(Arc<Outcome>),
}

impl Default for FlightState {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

/// Waits for the append that holds a request's records.
#[derive(Debug)]
pub(crate) struct Settling {
    flight: Arc<Flight>,
}

impl Combiner {
    pub(crate) fn new(topic: &Topic, append_bytes_max: usize) -> Self {
        let partition = |partition| TopicPartition::new(topic.name.clone(), partition);
        Self(Arc::new(Inner {
            queue: Mutex::default(),
            filled: Notify::new(),
            partitions: (0..topic.partitions).map(partition).collect(),
            append_bytes_max,
        }))
    }

    /// Adds one request's records: `write` puts all of them, about `share.bytes()` encoded,
    /// into the batch it is given. On a journal they are stored together or not at all.
    pub(crate) fn add<T>(
        &self,
        share: Share,
        write: impl FnOnce(&mut Batch) -> T,
    ) -> (T, Settling) {
        let mut queue = lock(&self.0.queue);
        let bytes = usize::try_from(share.bytes()).unwrap_or(usize::MAX);
        let fits = |batch: &Batch| batch.bytes.saturating_add(bytes) <= self.0.append_bytes_max;
        let batch = match queue.back_mut() {
            Some(batch) if fits(batch) => {
                batch.share.absorb(share);
                batch
            }
            _ => {
                queue.push_back(Batch::new(self.0.partitions.len(), share));
                queue.back_mut().expect("just pushed")
            }
        };
        batch.bytes = batch.bytes.saturating_add(bytes);
        batch.requests += 1;
        let written = write(batch);
        let settling = Settling { flight: Arc::clone(&batch.flight) };
        drop(queue);
        self.0.filled.notify_one();
        (written, settling)
    }

    /// Hands batches to the log and wakes who waits for them, without an end: the worker drops
    /// it when no request is left.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let mut settling = FuturesUnordered::new();
        loop {
            while settling.len() < APPENDS_INFLIGHT_MAX
                && let Some(batch) = self.next_batch()
            {
                shared.metrics.appends.increment(1);
                settling.push(self.append(&*shared.settings.log, batch));
            }
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            shared.metrics.inflight_bytes.set(shared.budget.used() as f64);
            tokio::select! {
                biased;
                Some(()) = settling.next() => {}
                () = self.0.filled.notified(), if settling.len() < APPENDS_INFLIGHT_MAX => {}
            }
        }
    }

    fn next_batch(&self) -> Option<Batch> {
        lock(&self.0.queue).pop_front()
    }

    /// Enqueues a batch now; the future waits until the log has settled it.
    fn append(&self, log: &dyn Log, batch: Batch) -> impl Future<Output = ()> + use<> {
        let Batch { builders, requests, share, flight, .. } = batch;
        let filled = self.0.partitions.iter().zip(builders);
        let records: Vec<_> = filled
            .filter(|(_, builder)| !builder.is_empty())
            .map(|(partition, builder)| (partition.clone(), builder.finish()))
            .collect();
        let partitions = records.iter().map(|(partition, _)| partition.partition).collect();
        let enqueued: Result<Append, EnqueueError> = log.enqueue(records);
        async move {
            let result = match enqueued {
                Ok(append) => append.await,
                Err(error) => Err(error),
            };
            if let Err(error) = &result {
                report(error, requests);
            }
            drop(share);
            flight.settle(Outcome::new(partitions, result));
        }
    }
}

/// Logs a failed append once, for all its requests.
fn report(error: &EnqueueError, requests: u32) {
    match error {
        // Overload and closing are answered and counted; a line for each would be a second load.
        EnqueueError::Full { .. } | EnqueueError::Closed => {}
        _ => tracing::warn!(error = error as &dyn std::error::Error, requests, "append failed"),
    }
}

impl Batch {
    fn new(partitions: usize, share: Share) -> Self {
        let builders = (0..partitions).map(|_| RecordBatchBuilder::new()).collect();
        Self { builders, bytes: 0, requests: 0, share, flight: Arc::default() }
    }

    /// Adds a record; returns where it stands.
    pub(crate) fn push(&mut self, partition: PartitionId, record: Record<'_>) -> Place {
        let builder = &mut self.builders[partition.0 as usize];
        builder.push(record);
        Place { partition, index: builder.len() - 1 }
    }
}

impl Flight {
    fn settle(&self, outcome: Outcome) {
        let settled = FlightState::Settled(Arc::new(outcome));
        let before = std::mem::replace(&mut *lock(&self.state), settled);
        if let FlightState::Waiting(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Settling {
    /// Waits until the log has settled the append. Cancel-safe.
    pub(crate) async fn settled(self) -> Arc<Outcome> {
        let mut place = None;
        poll_fn(|cx| {
            let mut state = lock(&self.flight.state);
            let wakers = match &mut *state {
                FlightState::Settled(outcome) => return Poll::Ready(Arc::clone(outcome)),
                FlightState::Waiting(wakers) => wakers,
            };
            let at = *place.get_or_insert(wakers.len());
            match wakers.get_mut(at) {
                Some(waker) => waker.clone_from(cx.waker()),
                None => wakers.push(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }
}

/// Locks; nothing panics while one of these locks is held but `write`, which leaves whole records.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
