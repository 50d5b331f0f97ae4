//! Reading one partition in order, and never past what is committed.
//!
//! A reader is a client of its own that is assigned one partition, belongs to no group and fetches
//! ahead into a bounded queue. Records and place are taken from that queue without waiting, and
//! only when the answer is complete: so a dropped call has moved nothing. What librdkafka does not
//! notice, a topic that was created anew, is asked for beside it, at most [`TOPIC_AGE_MAX`] ago; a
//! writer asks once more before it commits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_log::{FetchError, FetchLimits, Fetched, LogReader, PositionRefused, ReaderError};
use millstream_model::{LogPosition, Offset, TopicPartition};
use millstream_runtime::{Context, TaskKind};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset as ListOffset;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::call;
use crate::client::{Connection, Isolation, Observer};
use crate::cluster::Cluster;
use crate::error::{KafkaError, Reason};
use crate::ffi::{consumer, partition_list};
use crate::names::number;
use crate::topics::TOPIC_AGE_MAX;

mod bounds;
mod take;

use bounds::{Observed, Place, observe};
pub(crate) use bounds::{bounds, check_position, offset_at};
use take::{Held, Taken, take};

/// How often a reader that waits looks at its queue, woken or not: librdkafka also puts there what
/// is for itself.
const QUEUE_POLL: Duration = Duration::from_millis(100);

/// What is read for: how much is fetched ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A task, which is to read as fast as the cluster gives.
    Task,
    /// Somebody who looks, with many partitions open at once.
    Looking,
}

/// Reads one partition of one topic.
pub(crate) struct KafkaReader {
    cluster: Arc<Cluster>,
    /// Always there; taken only to be handed to the reaper.
    consumer: Option<BaseConsumer<Observer>>,
    connection: Arc<Connection>,
    wake: Arc<Notify>,
    partition: TopicPartition,
    /// The partition as Kafka names it.
    name: String,
    number: i32,
    /// What the next answer begins with.
    next: LogPosition,
    /// The end as it was last heard of.
    end: Offset,
    /// When it was last asked whether topic and bounds are still those; `None` before the first
    /// fetch, which may come long after the start.
    observed: Option<Instant>,
    /// A record that was taken from the queue and did not fit the answer.
    held: Option<Held>,
    /// Why nothing more comes, for good: librdkafka says it once, and goes on behind it.
    failed: Option<ClientError>,
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaReader({} at {})", self.partition, self.next.offset)
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.cluster.reaper.end(consumer);
        }
    }
}

impl KafkaReader {
    /// Checks `from` and starts to fetch there.
    pub(crate) async fn start(
        cluster: &Arc<Cluster>,
        cx: &Context,
        (partition, from): (&TopicPartition, LogPosition),
        purpose: Purpose,
    ) -> Result<Self, ReaderError> {
        let observed = observe(cluster, cx, partition).await?;
        observed.check(cluster.log_id, partition, from)?;
        let place = Place::of(from);
        let name = cluster.names.topic(&partition.topic);
        let number = number(partition);
        let connection = Connection::new("reader");
        let wake = Arc::new(Notify::new());
        let making = Making {
            cluster: Arc::clone(cluster),
            connection: Arc::clone(&connection),
            wake: Arc::clone(&wake),
            name: name.clone(),
            number,
            purpose,
        };
        let make = move || making.make(place);
        let consumer =
            call::run(cx, cluster.config.hang_time_max(), TaskKind("kafka_reader_start"), make)
                .await?;
        Ok(Self {
            cluster: Arc::clone(cluster),
            consumer: Some(consumer),
            connection,
            wake,
            partition: partition.clone(),
            name,
            number,
            next: from,
            end: observed.end.offset,
            observed: None,
            held: None,
            failed: None,
        })
    }

    fn consumer(&self) -> &BaseConsumer<Observer> {
        self.consumer.as_ref().expect("taken only when dropped")
    }

    /// Asks whether this is still the topic, and where it ends now.
    async fn observe(&mut self, cx: &Context) -> Result<(), FetchError> {
        let asked = Instant::now();
        let observed = observe(&self.cluster, cx, &self.partition).await?;
        observed.check(self.cluster.log_id, &self.partition, self.next)?;
        self.end = observed.end.offset;
        self.observed = Some(asked);
        Ok(())
    }

    fn is_observed(&self) -> bool {
        self.observed.is_some_and(|asked| asked.elapsed() < TOPIC_AGE_MAX)
    }

    /// Takes what fits from the queue, and the place after it; waits for nothing.
    fn take(&mut self, bytes_max: usize) -> Taken {
        let held = self.held.take();
        let mut taken = take(self.consumer(), held, bytes_max);
        self.held = taken.held.take();
        self.failed = taken.failed.take().or(self.failed.take());
        let place = match taken.last {
            // The queue's place is behind the record that is held.
            Some(last) if self.held.is_some() => Some(last),
            _ => self.place(),
        };
        if let Some(place) = place {
            self.next = place.position(self.cluster.log_id, self.next.topic);
        }
        taken
    }

    /// Returns the place behind everything that was taken from the queue, control records too.
    fn place(&self) -> Option<Place> {
        let list = self.consumer().position().ok()?;
        let found = list.find_partition(&self.name, self.number)?;
        let ListOffset::Offset(offset) = found.offset() else { return None };
        let epoch = partition_list::leader_epoch(&list, &self.name, self.number);
        let offset = Offset(u64::try_from(offset).ok()?);
        Some(Place { offset, epoch: epoch.or(Place::of(self.next).epoch) })
    }

    fn fetched(&self, taken: Taken) -> Fetched {
        let end = self.end.max(self.next.offset);
        Fetched { batches: taken.batches, next: self.next, end }
    }

    /// Finds out what an error of the consumer means.
    async fn refusal(&mut self, cx: &Context, error: ClientError) -> FetchError {
        let code = error.rdkafka_error_code();
        if code == Some(Code::UnknownTopicOrPartition) {
            return FetchError::UnknownPartition(self.partition.clone());
        }
        if code == Some(Code::AutoOffsetReset) {
            // One code for all: too far, too early, another history. The bounds tell them apart.
            return match self.observe(cx).await {
                Err(refused) => refused,
                Ok(()) => self.other_history().into(),
            };
        }
        let during = "fetch";
        let error = match code {
            Some(Code::BadMessage | Code::BadCompression) => {
                let (partition, offset) = (&self.partition, self.next.offset);
                let detail = format!(
                    "{partition} from {offset} on: {error}; let the broker take its copy anew from \
                     another replica"
                );
                KafkaError::found(during, Reason::Corrupt { detail })
            }
            _ => KafkaError::new(during, error, &self.connection),
        };
        FetchError::Storage(error.into_io())
    }

    /// The brokers say that the record before the position was written in another epoch; they do
    /// not say in which.
    fn other_history(&self) -> PositionRefused {
        PositionRefused::OtherHistory {
            partition: self.partition.clone(),
            offset: self.next.offset,
            named: self.next.incarnation,
            found: Observed::unknown_incarnation(),
        }
    }

    fn stalled(&self) -> FetchError {
        let reason = match self.connection.trouble() {
            Some(trouble) => Reason::from(trouble),
            None => Reason::TimedOut { detail: format!("{} brings nothing", self.partition) },
        };
        FetchError::Storage(KafkaError::found("fetch", reason).into_io())
    }
}

#[async_trait]
impl LogReader for KafkaReader {
    async fn fetch(&mut self, cx: &Context, limits: FetchLimits) -> Result<Fetched, FetchError> {
        let begun = Instant::now();
        let give_up = limits.wait_max + self.cluster.config.request_time_max;
        loop {
            cx.check()?;
            if !self.is_observed() {
                self.observe(cx).await?;
            }
            // Before more is taken: librdkafka reads on behind a batch that it could not take.
            if let Some(error) = self.failed.clone() {
                return Err(self.refusal(cx, error).await);
            }
            let taken = self.take(limits.bytes_max);
            if !taken.batches.is_empty() {
                self.connection.on_success();
                return Ok(self.fetched(taken));
            }
            if self.failed.is_some() {
                continue;
            }
            if begun.elapsed() >= limits.wait_max {
                // What is there is brought whatever the wait: only the end ends it.
                if self.next.offset >= self.end && self.observed < Some(begun) {
                    self.observe(cx).await?;
                }
                if self.next.offset >= self.end {
                    return Ok(self.fetched(taken));
                }
                if begun.elapsed() >= give_up {
                    return Err(self.stalled());
                }
            }
            let left = limits.wait_max.saturating_sub(begun.elapsed());
            let pause = if left.is_zero() { QUEUE_POLL } else { left.min(QUEUE_POLL) };
            match cx.run(tokio::time::timeout(pause, self.wake.notified())).await? {
                // A pause that ends without a wake is as good as one that is woken.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// What it takes to make the consumer, on a thread that may block.
struct Making {
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    wake: Arc<Notify>,
    name: String,
    number: i32,
    purpose: Purpose,
}

impl Making {
    fn make(self, place: Place) -> Result<BaseConsumer<Observer>, KafkaError> {
        let failed = |error| KafkaError::new("start a reader", error, &self.connection);
        let client = match self.purpose {
            Purpose::Task => self.cluster.clients.reader(Isolation::Committed),
            Purpose::Looking => self.cluster.clients.looking_reader(Isolation::Committed),
        };
        let observer = Observer(Arc::clone(&self.connection));
        let mut consumer: BaseConsumer<Observer> =
            client.create_with_context(observer).map_err(failed)?;
        let wake = Arc::clone(&self.wake);
        consumer.set_nonempty_callback(move || wake.notify_one());
        let mut list = TopicPartitionList::with_capacity(1);
        let offset = i64::try_from(place.offset.0).unwrap_or(i64::MAX);
        list.add_partition_offset(&self.name, self.number, ListOffset::Offset(offset))
            .map_err(failed)?;
        if let Some(epoch) = place.epoch {
            partition_list::set_leader_epoch(&mut list, &self.name, self.number, epoch);
        }
        consumer.assign(&list).map_err(failed)?;
        Ok(consumer)
    }
}
