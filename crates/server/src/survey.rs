//! Collects the numbers that `reconcile` does its sums with: from a log and the tables, beside a
//! running node or without one.
//!
//! The order is the point: what sinks registered, the tables, then the pipelines' counts, the
//! topics, the counts once more, and what was accepted last of all. Whatever moves meanwhile then
//! shows as in flight, and never as missing.
//!
//! Where the log is gapless, sums of offsets are numbers of records. On another one what waits is
//! counted by reading it ([`counting`]), from positions and counts of one commit; see
//! [`millstream_pipeline::counts::Beginning`] for what is exact there.

use std::time::Duration;

use millstream_lake::position::{PartitionPosition, SinkPositions, standing};
use millstream_lake::{Lake, LakeError, TableName};
use millstream_log::{Committed, Log, ReaderError, check};
use millstream_model::{
    Classify, ErrorClass, Incarnation, LogPosition, Offset, PartitionId, TaskId, TopicPartition,
};
use millstream_pipeline::Counts;
use millstream_pipeline::counts::{Beginning, BeginningError, CountsError, records_before};
use millstream_pipeline::spool::PositionError;
use millstream_runtime::Context;
use thiserror::Error;

use crate::accounting::{Absent, Facts, PipelineFacts, SinkFacts, Tally, TopicFacts, Waiting};
use crate::data_dir::DataDir;
use crate::flow::{Flow, FlowPipeline, FlowSink, sink_task, topic_name};

mod counting;
mod spool;
mod standing;

pub(crate) use spool::survey_spool;

use counting::{Budget, Place, count, count_behind};

/// How long one task's position may take: books that cannot be drawn up now say so soon.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// What a table says of the sink that fills it, if it was ever filled.
struct Stored(Option<SinkPositions>);

impl Stored {
    fn partitions(&self) -> impl Iterator<Item = &PartitionPosition> {
        self.0.iter().flat_map(|sink| sink.partitions.values())
    }

    fn of(&self, partition: PartitionId) -> Option<PartitionPosition> {
        self.0.as_ref()?.partitions.get(&partition).copied()
    }

    /// Returns where the table stands in a partition.
    fn next(&self, partition: PartitionId) -> Option<LogPosition> {
        let (sink, position) = (self.0.as_ref()?, self.of(partition)?);
        let (log, topic) = (sink.log, sink.topic_id);
        let incarnation = Incarnation(position.incarnation);
        Some(LogPosition { log, topic, incarnation, offset: position.next })
    }
}

/// Why a survey could not be made.
#[derive(Debug, Error)]
pub(crate) enum SurveyError {
    /// The log could not be read.
    #[error("read the log")]
    Log(#[from] ReaderError),
    /// Committed counts are not readable.
    #[error("counts of task {task}")]
    Counts {
        /// The task.
        task: String,
        /// Why.
        #[source]
        source: CountsError,
    },
    /// Where a task began is not readable.
    #[error("beginning of task {task}")]
    Beginning {
        /// The task.
        task: String,
        /// Why.
        #[source]
        source: BeginningError,
    },
    /// How far a spool has come is not readable.
    #[error("position of task {task}")]
    Spool {
        /// The task.
        task: String,
        /// Why.
        #[source]
        source: PositionError,
    },
    /// The log does not say how many records an offset stands for.
    #[error("offsets of this log do not count records")]
    Gaps,
    /// A table could not be read.
    #[error("read the tables")]
    Lake(#[from] LakeError),
    /// A stored name is none.
    #[error("read flow.json")]
    Name(#[from] std::io::Error),
}

impl Classify for SurveyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Log(error) => error.class(),
            Self::Counts { source, .. } => source.class(),
            Self::Beginning { source, .. } => source.class(),
            Self::Spool { source, .. } => source.class(),
            Self::Gaps => ErrorClass::Invalid,
            Self::Lake(error) => error.class(),
            Self::Name(_) => ErrorClass::Corrupt,
        }
    }
}

/// Collects everything, downstream first.
pub(crate) async fn survey(
    cx: &Context,
    log: &dyn Log,
    lake: Option<&Lake>,
    flow: &Flow,
) -> Result<Facts, SurveyError> {
    survey_within(cx, (log, lake), flow, Budget::new()).await
}

async fn survey_within(
    cx: &Context,
    (log, lake): (&dyn Log, Option<&Lake>),
    flow: &Flow,
    mut budget: Budget,
) -> Result<Facts, SurveyError> {
    let is_gapless = log.admin().is_gapless();
    let (mut sinks, mut backlogs) = (Vec::new(), Vec::new());
    let (mut absent, mut refused) = (Vec::new(), Vec::new());
    for sink in &flow.sinks {
        let found = sink_facts(cx, (log, lake), flow, (sink, &mut budget)).await?;
        sinks.push(found.facts);
        backlogs.push(found.backlog);
        absent.extend(found.absent);
        refused.extend(found.refused);
    }
    let mut before = Vec::new();
    for pipeline in &flow.pipelines {
        before.push(progress(cx, log, flow, pipeline).await?.tally);
    }
    let mut topics = Vec::new();
    for topic in &flow.topics {
        let (name, is_collected) = (topic.name.clone(), topic.name == flow.collected);
        let end = if is_gapless { Some(end_of(cx, log, flow, &name).await?) } else { None };
        topics.push(TopicFacts { name, end, is_collected });
    }
    for (facts, backlog) in sinks.iter_mut().zip(&backlogs) {
        if let Some(Backlog { places, before_is_known }) = backlog {
            let counted = count_behind(cx, log, places, &mut budget).await?;
            let (records, is_all) = (counted.records, counted.is_all);
            facts.waiting = Some(Waiting { records, is_all, before_is_known: *before_is_known });
        }
    }
    for (facts, sink) in sinks.iter_mut().zip(&flow.sinks) {
        facts.dead_lettered = rejected(&registered(cx, log, flow, sink).await?);
    }
    let (mut pipelines, mut places) = (Vec::new(), Vec::new());
    for (pipeline, tally_before) in flow.pipelines.iter().zip(before) {
        let progress = progress(cx, log, flow, pipeline).await?;
        pipelines.push(pipeline_facts(pipeline, tally_before, &progress));
        places.push(progress.places);
        refused.extend(progress.refused);
    }
    for (pipeline, places) in pipelines.iter_mut().zip(&places) {
        if is_gapless {
            pipeline.accepted = end_of(cx, log, flow, &pipeline.from).await?;
            continue;
        }
        let counted = count_behind(cx, log, places, &mut budget).await?;
        pipeline.accepted = pipeline.tally.read + counted.records;
        pipeline.accepted_is_least = !counted.is_all;
    }
    Ok(Facts { sinks, topics, pipelines, absent, refused })
}

/// Returns what is known of a pipeline before what waits for it is counted.
fn pipeline_facts(
    pipeline: &FlowPipeline,
    tally_before: Tally,
    progress: &Progress,
) -> PipelineFacts {
    let Progress { before, consumed, tally, .. } = *progress;
    PipelineFacts {
        name: pipeline.name.clone(),
        from: pipeline.from.clone(),
        to: pipeline.to.clone(),
        dead_letters: pipeline.dead_letters.clone(),
        before,
        consumed,
        tally,
        tally_before,
        accepted: 0,
        accepted_is_least: false,
    }
}

/// What waits for a sink, to be counted.
#[derive(Debug, Default)]
struct Backlog {
    /// Where the table stands.
    places: Vec<Place>,
    /// Whether it is known how many records had left the topic when the sink began.
    before_is_known: bool,
}

/// What is known of one sink.
struct Found {
    facts: SinkFacts,
    /// `None` where offsets count records, and where the table is not here.
    backlog: Option<Backlog>,
    absent: Option<Absent>,
    refused: Vec<String>,
}

async fn sink_facts(
    cx: &Context,
    (log, lake): (&dyn Log, Option<&Lake>),
    flow: &Flow,
    (sink, budget): (&FlowSink, &mut Budget),
) -> Result<Found, SurveyError> {
    // A position is registered after its commit: read first, it is never ahead of the table.
    let tasks = registered(cx, log, flow, sink).await?;
    let stored = match lake {
        Some(lake) => stored(lake, sink).await?,
        None => None,
    };
    let is_gapless = log.admin().is_gapless();
    // On a journal the table is where the log is, or lost.
    let absent = if is_gapless { None } else { standing::absent(sink, &tasks, stored.as_ref()) };
    let stored = stored.unwrap_or(Stored(None));
    let refused = standing::of_sink(cx, log, &tasks, &stored).await?;
    let mut facts = SinkFacts {
        name: sink.name.clone(),
        table: sink.table.clone(),
        from: sink.from.clone(),
        dead_letters: sink.dead_letters.clone(),
        before: 0,
        registered: 0,
        stored: stored.partitions().map(|position| position.rows).sum(),
        rejected: stored.partitions().map(|position| position.rejected).sum(),
        consumed: 0,
        dead_lettered_before: rejected(&tasks),
        dead_lettered: 0,
        waiting: None,
    };
    let backlog = if is_gapless {
        add_offsets(cx, log, (&tasks, &stored), &mut facts).await?;
        None
    } else if absent.is_some() {
        None
    } else {
        Some(add_counts(cx, log, (&tasks, &stored), (&mut facts, budget)).await?)
    };
    Ok(Found { facts, backlog, absent, refused })
}

/// Adds how far a sink came, where offsets count records.
async fn add_offsets(
    cx: &Context,
    log: &dyn Log,
    (tasks, stored): (&[Registered], &Stored),
    facts: &mut SinkFacts,
) -> Result<(), SurveyError> {
    facts.registered = tasks.iter().map(Registered::consumed).sum();
    for position in stored.partitions() {
        facts.before += before(log, position.begin)?;
        facts.consumed += position.next.0;
    }
    // A task that began and of which the table knows nothing stands at zero: rows were lost.
    let is_new =
        |task: &&Registered| !task.committed.began && stored.of(task.partition.partition).is_none();
    for task in tasks.iter().filter(is_new) {
        let place = place(cx, log, &task.partition, &task.committed).await?;
        facts.before += before(log, place.offset)?;
        facts.consumed += place.offset.0;
    }
    Ok(())
}

/// Adds how far a sink came, where offsets do not count records; returns what is still to count.
async fn add_counts(
    cx: &Context,
    log: &dyn Log,
    (tasks, stored): (&[Registered], &Stored),
    (facts, budget): (&mut SinkFacts, &mut Budget),
) -> Result<Backlog, SurveyError> {
    let mut backlog = Backlog { places: Vec::new(), before_is_known: true };
    for task in tasks {
        let number = task.partition.partition;
        let start = log.bounds(cx, &task.partition).await?.start;
        let (begin, mut next) = match (stored.of(number), stored.next(number)) {
            (Some(position), Some(next)) => (position.begin, next),
            _ => {
                let place = place(cx, log, &task.partition, &task.committed).await?;
                (place.offset, place)
            }
        };
        // What waits in a topic that was created anew is all that is in it.
        let is_other = check::identity(&task.partition, &next, &start).is_err();
        next = if is_other { start } else { next };
        backlog.places.push((task.partition.clone(), next));
        if begin == Offset::ZERO {
            continue;
        }
        // What was there at the beginning may be there still: control records count nothing.
        if start.offset > Offset::ZERO || is_other {
            backlog.before_is_known = false;
            continue;
        }
        let gone = count(cx, log, (&task.partition, start), begin, budget).await?;
        facts.before += gone.records;
        backlog.before_is_known &= gone.is_all;
    }
    facts.registered = tasks.iter().map(|task| task.counts.read).sum();
    facts.consumed = facts.before + facts.stored + facts.rejected;
    Ok(backlog)
}

/// What a sink's task of one partition has registered in the log, which follows the table.
#[derive(Debug)]
struct Registered {
    task: TaskId,
    partition: TopicPartition,
    committed: Committed,
    counts: Counts,
}

impl Registered {
    /// Returns how far it has read; a place where it is to begin is not read yet.
    fn consumed(&self) -> u64 {
        let next = self.committed.consumed.get(&self.partition);
        next.filter(|_| self.committed.began).map_or(0, |next| next.offset.0)
    }
}

fn rejected(tasks: &[Registered]) -> u64 {
    tasks.iter().map(|task| task.counts.rejected).sum()
}

async fn registered(
    cx: &Context,
    log: &dyn Log,
    flow: &Flow,
    sink: &FlowSink,
) -> Result<Vec<Registered>, SurveyError> {
    let mut tasks = Vec::new();
    for partition in partitions(flow, &sink.from)? {
        let task = sink_task(&sink.name, partition.partition.0);
        let looking = cx.with_timeout(LOOK_TIME_MAX);
        let committed = log.committed(&looking, &task).await?.unwrap_or_default();
        let counts = Counts::of_committed(&committed)
            .map_err(|source| SurveyError::Counts { task: task.to_string(), source })?;
        tasks.push(Registered { task, partition, committed, counts });
    }
    Ok(tasks)
}

/// How far a pipeline has come, all partitions together.
#[derive(Debug, Clone, Default)]
struct Progress {
    before: u64,
    consumed: u64,
    tally: Tally,
    /// Where it stands in each partition.
    places: Vec<Place>,
    /// Where it cannot go on from there, and what helps.
    refused: Vec<String>,
}

/// Returns how far a pipeline has come: where it began, where it stands and what it did come out
/// of the same commit of each task.
async fn progress(
    cx: &Context,
    log: &dyn Log,
    flow: &Flow,
    pipeline: &FlowPipeline,
) -> Result<Progress, SurveyError> {
    let mut sum = Progress::default();
    let is_gapless = log.admin().is_gapless();
    for partition in partitions(flow, &pipeline.from)? {
        let task = pipeline.task(partition.partition.0);
        let looking = cx.with_timeout(LOOK_TIME_MAX);
        let committed = log.committed(&looking, &task).await?.unwrap_or_default();
        let place = place(cx, log, &partition, &committed).await?;
        let begin = if committed.began {
            let counts = Counts::of_committed(&committed)
                .map_err(|source| SurveyError::Counts { task: task.to_string(), source })?;
            let beginning = Beginning::of_committed(&committed)
                .map_err(|source| SurveyError::Beginning { task: task.to_string(), source })?;
            sum.tally = sum.tally.plus(Tally::from(counts));
            beginning.of(&partition)
        } else {
            place.offset
        };
        if is_gapless {
            sum.before += before(log, begin)?;
            sum.consumed += place.offset.0;
        }
        let start = log.bounds(cx, &partition).await?.start;
        let refused = standing::refused(log, &task, (&partition, &committed), (place, start));
        let place = if refused.is_some() { start } else { place };
        sum.refused.extend(refused);
        sum.places.push((partition, place));
    }
    if !is_gapless {
        // The books begin where the pipeline began; what was before, nobody can count.
        sum.consumed = sum.tally.read;
    }
    Ok(sum)
}

/// Returns where a task stands. One that did not begin yet is going to, at the place that the log
/// keeps for it, or with the first record that is readable then.
async fn place(
    cx: &Context,
    log: &dyn Log,
    partition: &TopicPartition,
    committed: &Committed,
) -> Result<LogPosition, SurveyError> {
    match committed.consumed.get(partition) {
        Some(place) => Ok(*place),
        None => Ok(log.bounds(cx, partition).await?.start),
    }
}

fn before(log: &dyn Log, offset: Offset) -> Result<u64, SurveyError> {
    records_before(&*log.admin(), offset).ok_or(SurveyError::Gaps)
}

async fn end_of(cx: &Context, log: &dyn Log, flow: &Flow, topic: &str) -> Result<u64, SurveyError> {
    let mut sum = 0;
    for partition in partitions(flow, topic)? {
        sum += log.bounds(cx, &partition).await?.end.offset.0;
    }
    Ok(sum)
}

/// Returns the partitions of a topic of the flow.
pub(crate) fn partitions(flow: &Flow, topic: &str) -> std::io::Result<Vec<TopicPartition>> {
    let name = topic_name(topic)?;
    let count = flow.topic(topic).map_or(0, |topic| topic.partitions);
    Ok((0..count).map(|partition| TopicPartition::new(name.clone(), partition)).collect())
}

/// Opens the tables of a data directory for reading; `None` when there are none yet.
pub(crate) async fn open_lake(data: &DataDir) -> Result<Option<Lake>, SurveyError> {
    match Lake::open_read_only(&Flow::lake_of(data)?).await {
        Ok(lake) => Ok(Some(lake)),
        Err(LakeError::NoLake { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads what a sink's table says; `None` when there is no such table.
async fn stored(lake: &Lake, sink: &FlowSink) -> Result<Option<Stored>, SurveyError> {
    let table = TableName::new(&sink.table).map_err(std::io::Error::other)?;
    let Some(version) = lake.find(&table).await? else { return Ok(None) };
    let mut standing = standing(&table, &version.metadata)?;
    Ok(Some(Stored(standing.map.sinks.remove(&sink.name))))
}

#[cfg(test)]
mod tests;
