//! What became of records that a transaction wrote: asked of the partitions themselves, for its
//! coordinator may have told them different things.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message as _, OwnedMessage};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::time::Instant;

use crate::client::{Connection, Isolation, Observer};
use crate::cluster::Cluster;
use crate::error::{KafkaError, Reason, is_passing, time_left};
use crate::ffi::admin::list_offsets;
use crate::positions::Missed;
use crate::positions::manifest::{Written, crc_of};

/// What was being done when a call failed.
pub(super) const LOOKING: &str = "look what became of the last transaction";

/// How long one poll waits for records.
const POLL: Duration = Duration::from_millis(20);

/// How long is waited before it is asked again whether records are there.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How a transaction ended in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Readers of committed records see it.
    Committed,
    /// They do not.
    Aborted,
    /// It cannot be told: its records were deleted, or the topic is another one.
    Gone,
    /// Nothing stands there: it was aborted, or what it left was deleted since.
    Absent,
}

/// Records that nobody has any more.
pub(super) struct Missing {
    /// The partition and offset from which they are gone.
    pub(super) place: String,
}

/// Why it is not known what became of the records.
pub(super) struct Unsettled {
    pub(super) error: KafkaError,
    /// The partitions that could not be read so far, where that is the cause.
    pub(super) missed: Vec<Missed>,
}

impl From<KafkaError> for Unsettled {
    fn from(error: KafkaError) -> Self {
        Self { error, missed: Vec::new() }
    }
}

/// A client that looks at single records.
struct Looker<'a> {
    cluster: &'a Cluster,
    consumer: BaseConsumer<Observer>,
    connection: std::sync::Arc<Connection>,
    deadline: Instant,
}

/// What one look at a partition showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It reaches as far as the records.
    There,
    /// It begins behind them: they were deleted.
    Deleted,
    /// It ends before them, or its topic is gone; or so says a broker that has just started, which
    /// may not know of a topic, or of its last records.
    NotThere,
    /// Nobody can tell now.
    NoLeader,
}

/// Believes that records are not there only when that was said for a time, and nothing else.
struct Doubt {
    time_max: Duration,
    since: Option<Instant>,
    /// Whether nobody could tell when it was last asked.
    is_untold: bool,
}

impl Doubt {
    fn new(time_max: Duration) -> Self {
        Self { time_max, since: None, is_untold: false }
    }

    /// Returns whether the records are there; `None` while that is in doubt.
    fn judge(&mut self, seen: Seen, now: Instant) -> Option<bool> {
        self.is_untold = seen == Seen::NoLeader;
        match seen {
            Seen::There => return Some(true),
            Seen::Deleted => return Some(false),
            Seen::NoLeader => self.since = None,
            Seen::NotThere => {
                let since = *self.since.get_or_insert(now);
                if now.duration_since(since) >= self.time_max {
                    return Some(false);
                }
            }
        }
        None
    }
}

/// Says of each range what became of its last record; of each partition there is one range.
pub(super) fn outcomes(
    cluster: &Cluster,
    ranges: &[Written],
    deadline: Instant,
) -> Result<Vec<Outcome>, Unsettled> {
    let looker = Looker::new(cluster, Isolation::Committed, deadline)?;
    let found = looker.outcomes(ranges);
    cluster.reaper.end(looker.consumer);
    found
}

/// Reads the records of some ranges, whatever became of them.
pub(super) fn read_back(
    cluster: &Cluster,
    ranges: &[Written],
    deadline: Instant,
) -> Result<Result<Vec<OwnedMessage>, Missing>, KafkaError> {
    let looker = Looker::new(cluster, Isolation::Uncommitted, deadline)?;
    let mut records = Vec::new();
    let mut read = Ok(Ok(()));
    for range in ranges {
        read = looker.read_back(range, &mut records);
        if !matches!(read, Ok(Ok(()))) {
            break;
        }
    }
    cluster.reaper.end(looker.consumer);
    Ok(read?.map(|()| records))
}

type Place = (String, i32);

impl<'a> Looker<'a> {
    fn new(
        cluster: &'a Cluster,
        isolation: Isolation,
        deadline: Instant,
    ) -> Result<Self, KafkaError> {
        let connection = Connection::new("settler");
        let mut config = cluster.clients.looking_reader(isolation);
        // Waits for the end of somebody's transaction are short.
        config.set("fetch.wait.max.ms", "50");
        let made = config.create_with_context(Observer(connection.clone()));
        let consumer = made.map_err(|error| KafkaError::new(LOOKING, error, &connection))?;
        Ok(Self { cluster, consumer, connection, deadline })
    }

    fn outcomes(&self, ranges: &[Written]) -> Result<Vec<Outcome>, Unsettled> {
        let mut found: BTreeMap<Place, Outcome> = BTreeMap::new();
        let mut waiting: BTreeMap<Place, &Written> = BTreeMap::new();
        // Of the others nothing is found: they are gone.
        for range in self.standing(ranges)? {
            waiting.insert((range.topic.clone(), range.partition), range);
        }
        self.assign(waiting.values().map(|range| (*range, range.last)))?;
        while !waiting.is_empty() {
            let left = self.left().map_err(|error| unsettled(error, &waiting))?;
            match self.consumer.poll(POLL.min(left)) {
                Some(Ok(message)) => {
                    let place = (message.topic().to_owned(), message.partition());
                    if let Some(range) = waiting.remove(&place) {
                        found.insert(place, outcome_of(range, &message));
                    }
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(self.error(error).into()),
                None => {
                    for place in self.passed(&waiting)? {
                        waiting.remove(&place);
                        found.insert(place, Outcome::Aborted);
                    }
                }
            }
        }
        let of = |range: &Written| found.get(&(range.topic.clone(), range.partition)).copied();
        Ok(ranges.iter().map(|range| of(range).unwrap_or(Outcome::Gone)).collect())
    }

    /// Returns the partitions whose stable end lies behind the record that was looked for.
    fn passed(&self, waiting: &BTreeMap<Place, &Written>) -> Result<Vec<Place>, KafkaError> {
        let positions = self.consumer.position().map_err(|error| self.error(error))?;
        let is_passed = |place: &Place, range: &Written| {
            let element = positions.find_partition(&place.0, place.1);
            let offset = element.and_then(|element| element.offset().to_raw());
            offset.is_some_and(|offset| offset > range.last)
        };
        let passed = waiting.iter().filter(|(place, range)| is_passed(place, range));
        Ok(passed.map(|(place, _)| place.clone()).collect())
    }

    /// Returns the ranges whose partitions still have records as far as they reach; all are looked
    /// at together, so that many that are gone take no longer than one.
    fn standing<'r>(&self, ranges: &'r [Written]) -> Result<Vec<&'r Written>, KafkaError> {
        let time_max = self.cluster.config.request_time_max;
        let mut doubted: Vec<_> =
            ranges.iter().map(|range| (range, Doubt::new(time_max))).collect();
        let mut standing = Vec::new();
        while !doubted.is_empty() {
            let mut left = Vec::new();
            for (range, mut doubt) in doubted {
                let seen = self.look(range).map_err(|error| ran_out(error, range, &doubt))?;
                match doubt.judge(seen, Instant::now()) {
                    Some(true) => standing.push(range),
                    Some(false) => {}
                    None => left.push((range, doubt)),
                }
            }
            doubted = left;
            if !doubted.is_empty() {
                // What the client itself has to do meanwhile.
                drop(self.consumer.poll(LOOK_PAUSE));
            }
        }
        Ok(standing)
    }

    /// Asks once whether a partition has records as far as the range reaches.
    fn look(&self, range: &Written) -> Result<Seen, KafkaError> {
        let last = u64::try_from(range.last).unwrap_or(0);
        match self.bounds(range) {
            Ok((low, _)) if last < low => Ok(Seen::Deleted),
            Ok((_, high)) if last < high => Ok(Seen::There),
            Ok(_) => Ok(Seen::NotThere),
            Err(error) if matches!(error.reason, Reason::UnknownTopic { .. }) => Ok(Seen::NotThere),
            Err(error) if matches!(error.reason, Reason::NoLeader { .. }) => {
                self.cluster.ask_for_leaders(&range.topic);
                // Nobody leads a topic that is gone either.
                let Ok(left) = self.left() else { return Err(error) };
                let time_max = left.min(self.cluster.config.request_time_max);
                let found = self.cluster.describe_blocking(&range.topic, time_max)?;
                Ok(if found.is_none() { Seen::NotThere } else { Seen::NoLeader })
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for the first offset of the range's partition and its end.
    fn bounds(&self, range: &Written) -> Result<(u64, u64), KafkaError> {
        let of = (range.topic.as_str(), range.partition);
        let left = self.left()?;
        let time_max = left.min(self.cluster.config.request_time_max);
        let asked = list_offsets(self.cluster.native(), of, Isolation::Uncommitted, time_max);
        let (low, high) = self.cluster.outcome(LOOKING, asked)?;
        Ok((low.offset, high.offset))
    }

    fn read_back(
        &self,
        range: &Written,
        records: &mut Vec<OwnedMessage>,
    ) -> Result<Result<(), Missing>, KafkaError> {
        let first = u64::try_from(range.first).unwrap_or(0);
        if self.bounds(range)?.0 > first {
            return Ok(Err(missing(range, range.first)));
        }
        self.assign([(range, range.first)].into_iter())?;
        let mut next = range.first;
        while next <= range.last {
            let left = self.left()?;
            match self.consumer.poll(POLL.min(left)) {
                Some(Ok(message)) if message.offset() == next => {
                    records.push(message.detach());
                    next += 1;
                }
                Some(Ok(_)) => return Ok(Err(missing(range, next))),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(self.error(error)),
                None => {}
            }
        }
        let last = records.last();
        let is_same = last.is_some_and(|last| crc_of(last.key(), last.payload()) == range.crc);
        Ok(if is_same { Ok(()) } else { Err(missing(range, range.last)) })
    }

    fn assign<'r>(
        &self,
        places: impl Iterator<Item = (&'r Written, i64)>,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (range, offset) in places {
            let from = rdkafka::Offset::Offset(offset);
            let added = list.add_partition_offset(&range.topic, range.partition, from);
            added.map_err(|error| self.error(error))?;
        }
        self.consumer.assign(&list).map_err(|error| self.error(error))
    }

    fn left(&self) -> Result<Duration, KafkaError> {
        time_left(LOOKING, self.deadline)
    }

    fn error(&self, source: ClientError) -> KafkaError {
        KafkaError::new(LOOKING, source, &self.connection)
    }
}

/// Judges by the first committed record at or after a range's last one.
fn outcome_of(range: &Written, message: &BorrowedMessage<'_>) -> Outcome {
    if message.offset() != range.last {
        return Outcome::Aborted;
    }
    match crc_of(message.key(), message.payload()) == range.crc {
        true => Outcome::Committed,
        false => Outcome::Gone,
    }
}

fn unsettled(error: KafkaError, waiting: &BTreeMap<Place, &Written>) -> Unsettled {
    let missed = waiting.iter().map(|((topic, partition), range)| Missed {
        topic: topic.clone(),
        partition: *partition,
        high: range.last + 1,
    });
    Unsettled { error, missed: missed.collect() }
}

/// Says why time ran out: nobody could tell of the partition, or else it was too short.
fn ran_out(error: KafkaError, range: &Written, doubt: &Doubt) -> KafkaError {
    if !doubt.is_untold || !matches!(error.reason, Reason::TimedOut { .. }) {
        return error;
    }
    let detail = format!("{}-{}", range.topic, range.partition);
    KafkaError::found(LOOKING, Reason::NoLeader { detail })
}

fn missing(range: &Written, from: i64) -> Missing {
    Missing { place: format!("{}-{} at offset {from}", range.topic, range.partition) }
}

#[cfg(test)]
mod tests;
