//! What the outside world knows of a log: what it was told, what it saw, and what it may expect
//! of a log that died and came back.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::conformance::values_of;
use millstream_log::{Appended, FetchLimits, Log};
use millstream_model::{
    Epoch, LogPosition, Offset, SourceId, TaskId, TopicId, TopicName, TopicPartition,
};
use millstream_runtime::Context;

use super::scenario::{
    CLEAN, DEAD, EVENTS, PARTITIONS, TOPICS, output_of, output_partition, outputs, task_of,
};

/// The source under which a task counts what it read.
pub(crate) const COUNTS: &str = "ms.counts";

/// What the outside world knows.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Witness {
    /// Where each acknowledged event stands.
    acknowledged: BTreeMap<String, (TopicPartition, Offset)>,
    /// Appends of unknown outcome, each whole or not at all.
    unknown: Vec<Vec<(TopicPartition, String)>>,
    /// Events that were refused or found missing: they never appear.
    never: BTreeSet<String>,
    /// What a reader saw.
    seen: BTreeMap<TopicPartition, BTreeMap<Offset, String>>,
    /// How far each task is at least.
    consumed: BTreeMap<u32, u64>,
    /// The highest epoch of each task.
    epochs: BTreeMap<u32, Epoch>,
    /// The topics that are known to exist.
    topics: BTreeMap<TopicName, TopicId>,
    /// How far each partition was trimmed at least.
    trimmed: BTreeMap<TopicPartition, Offset>,
    /// How far each partition of outputs may have been trimmed, or taken by retention, at most.
    gone: BTreeMap<TopicPartition, Offset>,
}

/// One partition, read from its first readable offset to its end.
struct Read {
    start: LogPosition,
    end: LogPosition,
    values: BTreeMap<Offset, String>,
}

impl Witness {
    /// An append was acknowledged.
    pub(crate) fn acknowledge(&mut self, events: Vec<(TopicPartition, String)>, at: &[Appended]) {
        for ((partition, event), appended) in events.into_iter().zip(at) {
            assert_eq!(appended.partition, partition);
            let offsets = appended.landed.offsets().expect("the journal says where records are");
            self.acknowledged.insert(event, (partition, offsets.start()));
        }
    }

    /// An append ended without telling how.
    pub(crate) fn doubt(&mut self, events: Vec<(TopicPartition, String)>) {
        self.unknown.push(events);
    }

    /// An append was refused.
    pub(crate) fn refuse(&mut self, events: Vec<(TopicPartition, String)>) {
        self.never.extend(events.into_iter().map(|(_, event)| event));
    }

    /// A reader saw records.
    pub(crate) fn see(&mut self, partition: &TopicPartition, records: Vec<(Offset, String)>) {
        self.seen.entry(partition.clone()).or_default().extend(records);
    }

    /// A transaction was acknowledged.
    pub(crate) fn consume(&mut self, task: u32, next: Offset) {
        self.consumed.insert(task, next.0);
    }

    /// A task was opened.
    pub(crate) fn own(&mut self, task: u32, epoch: Epoch) -> Result<()> {
        let before = self.epochs.insert(task, epoch);
        ensure!(before < Some(epoch), "P5: task {task} got {epoch} after {before:?}");
        Ok(())
    }

    /// A topic was made.
    pub(crate) fn know_topic(&mut self, name: &TopicName, id: TopicId) -> Result<()> {
        let before = self.topics.insert(name.clone(), id);
        ensure!(before.is_none_or(|before| before == id), "topic {name} got another id");
        Ok(())
    }

    /// A trim was acknowledged.
    pub(crate) fn trim(&mut self, partition: TopicPartition, before: Offset) {
        self.trimmed.insert(partition, before);
    }

    /// Records before `before` are to be trimmed, or are old enough for retention.
    pub(crate) fn allow_gone(&mut self, partition: TopicPartition, before: Offset) {
        self.gone.insert(partition, before);
    }

    /// Returns the number of acknowledged appends.
    pub(crate) fn acknowledged_len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Checks that a log is one the outside world may meet, and learns what became of the
    /// appends of unknown outcome.
    pub(crate) async fn check(&mut self, cx: &Context, log: &dyn Log) -> Result<()> {
        let found = log.admin().topics(cx).await?;
        for (name, id) in &self.topics {
            let there = found.iter().any(|topic| topic.name == *name && topic.id == *id);
            ensure!(there, "L1: topic {name} is gone");
        }
        let names: BTreeSet<_> = found.into_iter().map(|topic| topic.name).collect();
        let mut read = BTreeMap::new();
        for partition in TOPICS.iter().flat_map(|topic| topic.all()) {
            if names.contains(&partition.topic) {
                let part = read_all(cx, log, &partition).await;
                read.insert(partition.clone(), part.with_context(|| format!("read {partition}"))?);
            }
        }
        self.check_seen(&read)?;
        self.check_events(&read)?;
        for task in 0..PARTITIONS {
            self.check_task(cx, log, task, &read).await.with_context(|| format!("task {task}"))?;
        }
        for partition in outputs() {
            if let Some(part) = read.get(&partition) {
                self.check_outputs(&partition, part).with_context(|| partition.to_string())?;
            }
        }
        for (partition, part) in read {
            self.see(&partition, part.values.into_iter().collect());
        }
        Ok(())
    }

    /// L2, L3: whatever a reader saw stands where it stood.
    fn check_seen(&self, read: &BTreeMap<TopicPartition, Read>) -> Result<()> {
        for (partition, seen) in &self.seen {
            let part = read.get(partition).with_context(|| format!("L3: {partition} is gone"))?;
            for (offset, value) in seen.range(part.start.offset..) {
                let now = part.values.get(offset);
                ensure!(now == Some(value), "L2: {partition} at {offset}: {value}, now {now:?}");
            }
            if let Some(before) = self.trimmed.get(partition) {
                ensure!(part.start.offset >= *before, "a trim of {partition} was taken back");
            }
        }
        Ok(())
    }

    /// L1, L6: every acknowledged event is there once; appends in doubt are whole or absent.
    fn check_events(&mut self, read: &BTreeMap<TopicPartition, Read>) -> Result<()> {
        let mut there: BTreeMap<&str, (&TopicPartition, Offset)> = BTreeMap::new();
        for partition in EVENTS.all() {
            let Some((partition, part)) = read.get_key_value(&partition) else { continue };
            for (offset, value) in &part.values {
                let before = there.insert(value, (partition, *offset));
                ensure!(before.is_none(), "L6: {value} is there twice, at {offset} of {partition}");
                ensure!(
                    !self.never.contains(value),
                    "{value} was refused or missing, and is there"
                );
            }
        }
        for (event, (partition, offset)) in &self.acknowledged {
            let part = read.get(partition).with_context(|| format!("L1: {partition} is gone"))?;
            if *offset >= part.start.offset {
                let found = there.get(event.as_str());
                ensure!(
                    found == Some(&(partition, *offset)),
                    "L1: {event} is at {found:?}, not {offset}"
                );
            }
        }
        let mut found = Vec::new();
        for append in std::mem::take(&mut self.unknown) {
            let count =
                append.iter().filter(|(_, event)| there.contains_key(event.as_str())).count();
            ensure!(count == 0 || count == append.len(), "P2: a part of {append:?} is there");
            if count == 0 {
                self.never.extend(append.into_iter().map(|(_, event)| event));
            } else {
                found.extend(append);
            }
        }
        for (partition, event) in found {
            let (_, offset) = there[event.as_str()];
            self.acknowledged.insert(event, (partition, offset));
        }
        Ok(())
    }

    /// P2, P3, P4: what a task committed agrees, and its input reaches from there on.
    async fn check_task(
        &mut self,
        cx: &Context,
        log: &dyn Log,
        task: u32,
        read: &BTreeMap<TopicPartition, Read>,
    ) -> Result<()> {
        let input = EVENTS.partition(task);
        let committed = log.committed(cx, &task_of(task)).await?.unwrap_or_default();
        let consumed = committed.consumed.get(&input).map_or(0, |next| next.offset.0);
        let acknowledged = self.consumed.get(&task).copied().unwrap_or(0);
        ensure!(consumed >= acknowledged, "P3: consumed {consumed}, acknowledged {acknowledged}");
        let counts = committed.positions.get(&SourceId::new(COUNTS)?);
        let counts = counts.map_or("0", |bytes| std::str::from_utf8(bytes).unwrap_or("?"));
        ensure!(counts == consumed.to_string(), "P2: {counts} are counted, {consumed} consumed");
        if let Some(part) = read.get(&input) {
            ensure!(part.start.offset.0 <= consumed, "P4: {input} begins after {consumed}");
            ensure!(consumed <= part.end.offset.0, "{input} ends before {consumed}");
        }
        self.consumed.insert(task, consumed);
        Ok(())
    }

    /// P1, P2: the outputs in a partition are exactly those of the events that were consumed, in
    /// their order, less as many as stood before the first readable offset.
    fn check_outputs(&self, partition: &TopicPartition, part: &Read) -> Result<()> {
        let mut found: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for value in part.values.values() {
            let (task, offset, event) = parse_output(value)?;
            let input = self.seen.get(&EVENTS.partition(task));
            let origin = input.and_then(|seen| seen.get(&Offset(offset)));
            ensure!(
                origin.is_some_and(|origin| origin == event),
                "{event} came from {offset}, where {origin:?} stands"
            );
            found.entry(task).or_default().push(offset);
        }
        let mut gone = 0;
        for (task, consumed) in &self.consumed {
            let goes_here = |offset: &u64| output_partition(*task, Offset(*offset)) == *partition;
            let expected: Vec<u64> = (0..*consumed).filter(goes_here).collect();
            let found = found.remove(task).unwrap_or_default();
            ensure!(
                expected.ends_with(&found),
                "P1, P2: task {task} consumed {consumed}, which makes outputs {expected:?} here, \
                 and there are {found:?}"
            );
            gone += (expected.len() - found.len()) as u64;
        }
        ensure!(found.is_empty(), "outputs of nobody: {found:?}");
        let start = part.start.offset;
        ensure!(gone == start.0, "P2: {gone} outputs are gone, and it begins at {start}");
        let allowed = self.gone.get(partition).copied().unwrap_or(Offset::ZERO);
        ensure!(start <= allowed, "it begins at {start}, records from {allowed} on are kept");
        Ok(())
    }
}

fn parse_output(value: &str) -> Result<(u32, u64, &str)> {
    let mut parts = value.splitn(3, '|');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(task), Some(offset), Some(event)) => Ok((task.parse()?, offset.parse()?, event)),
        _ => bail!("{value} is no output; one is like {}", output_of(0, Offset(0), "event")),
    }
}

async fn read_all(cx: &Context, log: &dyn Log, partition: &TopicPartition) -> Result<Read> {
    let bounds = log.bounds(cx, partition).await?;
    let mut reader = log.reader(cx, partition, bounds.start).await?;
    let limits = FetchLimits { bytes_max: 16 << 10, wait_max: std::time::Duration::ZERO };
    let (mut values, mut next) = (BTreeMap::new(), bounds.start);
    while next.offset < bounds.end.offset {
        let fetched = reader.fetch(cx, limits).await?;
        ensure!(fetched.next.offset > next.offset, "reading stands still at {}", next.offset);
        values.extend(values_of(&fetched.batches));
        next = fetched.next;
    }
    let expected = (bounds.start.offset.0..bounds.end.offset.0).map(Offset);
    ensure!(values.keys().copied().eq(expected), "offsets of a gapless log have gaps");
    Ok(Read { start: bounds.start, end: bounds.end, values })
}

/// The tasks, topics and outputs all belong to one small pipeline.
pub(crate) fn names_are_legal() -> bool {
    [EVENTS, CLEAN, DEAD].iter().all(|topic| TopicName::new(topic.name).is_ok())
        && TaskId::new(task_of(0).as_str()).is_ok()
}
