//! What the journal's thread, its callers and its readers share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use millstream_model::{LogId, TopicPartition};
use millstream_runtime::{Clock, Disk};
use tokio::sync::watch;

use super::admission::Level;
use super::codec::PartitionKey;
use super::config::Config;
use super::queue::Queue;
use super::segment_table::SegmentTable;
use super::state::State;
use super::topic_table::Span;
use crate::contract::Bounds;

/// What the journal's thread, its callers and its readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub log: LogId,
    pub dir: PathBuf,
    pub disk: Arc<dyn Disk>,
    pub clock: Clock,
    pub config: Config,
    pub queue: Queue,
    pub segments: SegmentTable,
    /// What is committed and durable; only the journal's thread writes it.
    state: RwLock<State>,
    /// Tells readers how far each partition reaches.
    views: RwLock<HashMap<PartitionKey, Arc<watch::Sender<Span>>>>,
    closed: watch::Sender<bool>,
    pub gauges: Gauges,
}

/// Numbers that the journal's thread keeps up to date.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub bytes_used: AtomicU64,
    pub disk_free: AtomicU64,
    /// The bytes of records that are made durable in a second, averaged.
    pub drain_rate: AtomicU64,
    pub level: AtomicU8,
    pub is_broken: AtomicBool,
}

impl Gauges {
    /// Returns what the journal takes now.
    pub(super) fn level(&self) -> Level {
        Level::from_byte(self.level.load(Ordering::Relaxed))
    }

    /// Returns when a queue of `bytes` will have drained.
    pub(super) fn drain_time(&self, bytes: usize, max: Duration) -> Duration {
        const MIN: Duration = Duration::from_millis(100);
        let rate = self.drain_rate.load(Ordering::Relaxed);
        if rate == 0 {
            return MIN.min(max);
        }
        let millis = (bytes as u64).saturating_mul(1000) / rate;
        Duration::from_millis(millis).clamp(MIN.min(max), max)
    }
}

/// What a journal's shared part is built from.
#[derive(Debug)]
pub(super) struct Parts {
    pub dir: PathBuf,
    pub disk: Arc<dyn Disk>,
    pub clock: Clock,
    pub config: Config,
    pub segments: SegmentTable,
    pub state: State,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { dir, disk, clock, config, segments, state } = parts;
        let shared = Self {
            log: state.log,
            dir,
            disk,
            clock,
            queue: Queue::new(&config),
            config,
            segments,
            state: RwLock::new(state),
            views: RwLock::new(HashMap::new()),
            closed: watch::Sender::new(false),
            gauges: Gauges::default(),
        };
        shared.show_new_partitions();
        shared
    }

    /// Returns what is committed and durable.
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state; only the journal's thread does, after the change is durable.
    pub(super) fn change_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes every partition of the state one that can be watched.
    pub(super) fn show_new_partitions(&self) {
        let state = self.state();
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        for (key, span) in state.topics.spans() {
            views.entry(key).or_insert_with(|| Arc::new(watch::Sender::new(*span)));
        }
    }

    /// Tells the readers of these partitions how far they reach now (L3).
    pub(super) fn publish(&self, keys: impl Iterator<Item = PartitionKey>) {
        let state = self.state();
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let (Some(span), Some(view)) = (state.topics.span(key), views.get(&key)) {
                view.send_replace(*span);
            }
        }
    }

    /// Watches how far a partition reaches.
    pub(super) fn watch(&self, key: PartitionKey) -> Option<watch::Receiver<Span>> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        views.get(&key).map(|view| view.subscribe())
    }

    /// Tells everybody that the journal ended.
    pub(super) fn close(&self) {
        self.queue.close();
        self.closed.send_replace(true);
    }

    /// Watches whether the journal ended.
    pub(super) fn watch_closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Returns whether the journal ended.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns a partition's numbers and its readable part.
    pub(super) fn resolve(&self, partition: &TopicPartition) -> Option<(PartitionKey, Bounds)> {
        let state = self.state();
        Some((state.topics.key(partition)?, state.bounds(partition)?))
    }

    /// Returns the readable part of a partition as positions.
    pub(super) fn bounds(&self, partition: &TopicPartition) -> Option<Bounds> {
        self.state().bounds(partition)
    }
}
