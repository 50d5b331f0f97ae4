//! Collects the numbers that `reconcile` does its sums with: from a log and the tables, beside a
//! running node or without one.
//!
//! The order is the point: what sinks registered, the tables, then the pipelines' counts, the
//! topics, the counts once more, and what was accepted last of all. Whatever moves meanwhile then
//! shows as in flight, and never as missing.
//!
//! Sums of offsets are taken for numbers of records, so the log must be gapless. On another one
//! ends are to be counted by reading on from the reader's position; see
//! [`millstream_pipeline::counts::Beginning`] for what is exact there.

use std::collections::BTreeMap;

use millstream_lake::position::{PartitionPosition, standing};
use millstream_lake::{Lake, LakeError, TableName};
use millstream_log::{Committed, Log, ReaderError};
use millstream_model::{Classify, ErrorClass, Offset, PartitionId, TopicPartition};
use millstream_pipeline::Counts;
use millstream_pipeline::counts::{Beginning, BeginningError, CountsError, records_before};
use millstream_runtime::Context;
use thiserror::Error;

use crate::accounting::{Facts, PipelineFacts, SinkFacts, Tally, TopicFacts};
use crate::data_dir::DataDir;
use crate::flow::{Flow, FlowPipeline, FlowSink, sink_task, topic_name};

/// What a table says of the partitions of the sink that fills it.
type Stored = BTreeMap<PartitionId, PartitionPosition>;

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
    let mut sinks = Vec::new();
    for sink in &flow.sinks {
        sinks.push(sink_facts(cx, (log, lake), flow, sink).await?);
    }
    let mut before = Vec::new();
    for pipeline in &flow.pipelines {
        before.push(progress(cx, log, flow, pipeline).await?.tally);
    }
    let mut topics = Vec::new();
    for topic in &flow.topics {
        topics.push(TopicFacts {
            name: topic.name.clone(),
            end: end_of(cx, log, flow, &topic.name).await?,
            is_collected: topic.name == flow.collected,
        });
    }
    for (facts, sink) in sinks.iter_mut().zip(&flow.sinks) {
        facts.dead_lettered = rejected(&registered(cx, log, flow, sink).await?);
    }
    let mut pipelines = Vec::new();
    for (pipeline, tally_before) in flow.pipelines.iter().zip(before) {
        let Progress { before, consumed, tally } = progress(cx, log, flow, pipeline).await?;
        pipelines.push(PipelineFacts {
            name: pipeline.name.clone(),
            from: pipeline.from.clone(),
            to: pipeline.to.clone(),
            dead_letters: pipeline.dead_letters.clone(),
            before,
            consumed,
            tally,
            tally_before,
            accepted: 0,
        });
    }
    for pipeline in &mut pipelines {
        pipeline.accepted = end_of(cx, log, flow, &pipeline.from).await?;
    }
    Ok(Facts { sinks, topics, pipelines })
}

async fn sink_facts(
    cx: &Context,
    (log, lake): (&dyn Log, Option<&Lake>),
    flow: &Flow,
    sink: &FlowSink,
) -> Result<SinkFacts, SurveyError> {
    // A position is registered after its commit: read first, it is never ahead of the table.
    let tasks = registered(cx, log, flow, sink).await?;
    let stored = match lake {
        Some(lake) => stored(lake, sink).await?,
        None => Stored::default(),
    };
    let mut facts = SinkFacts {
        name: sink.name.clone(),
        table: sink.table.clone(),
        from: sink.from.clone(),
        dead_letters: sink.dead_letters.clone(),
        before: 0,
        registered: tasks.iter().map(Registered::consumed).sum(),
        stored: 0,
        rejected: 0,
        consumed: 0,
        dead_lettered_before: rejected(&tasks),
        dead_lettered: 0,
    };
    for position in stored.values() {
        facts.before += before(log, position.begin)?;
        facts.stored += position.rows;
        facts.rejected += position.rejected;
        facts.consumed += position.next.0;
    }
    // A task that began and of which the table knows nothing stands at zero: rows were lost.
    let is_new = |task: &&Registered| {
        !task.committed.began && !stored.contains_key(&task.partition.partition)
    };
    for task in tasks.iter().filter(is_new) {
        let place = place(cx, log, &task.partition, &task.committed).await?;
        facts.before += before(log, place)?;
        facts.consumed += place.0;
    }
    Ok(facts)
}

/// What a sink's task of one partition has registered in the log, which follows the table.
#[derive(Debug)]
struct Registered {
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
        let committed = log.committed(cx, &task).await?.unwrap_or_default();
        let counts = Counts::of_committed(&committed)
            .map_err(|source| SurveyError::Counts { task: task.to_string(), source })?;
        tasks.push(Registered { partition, committed, counts });
    }
    Ok(tasks)
}

/// How far a pipeline has come, all partitions together.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    before: u64,
    consumed: u64,
    tally: Tally,
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
    for partition in partitions(flow, &pipeline.from)? {
        let task = pipeline.task(partition.partition.0);
        let committed = log.committed(cx, &task).await?.unwrap_or_default();
        if !committed.began {
            let place = place(cx, log, &partition, &committed).await?;
            sum.before += before(log, place)?;
            sum.consumed += place.0;
            continue;
        }
        let counts = Counts::of_committed(&committed)
            .map_err(|source| SurveyError::Counts { task: task.to_string(), source })?;
        let beginning = Beginning::of_committed(&committed)
            .map_err(|source| SurveyError::Beginning { task: task.to_string(), source })?;
        sum.before += before(log, beginning.of(&partition))?;
        sum.consumed += committed.consumed.get(&partition).map_or(0, |next| next.offset.0);
        sum.tally = sum.tally.plus(Tally::from(counts));
    }
    Ok(sum)
}

/// Returns where a task is going to begin that did not yet: at the place that the log keeps for
/// it, or with the first record that is readable then.
async fn place(
    cx: &Context,
    log: &dyn Log,
    partition: &TopicPartition,
    committed: &Committed,
) -> Result<Offset, SurveyError> {
    match committed.consumed.get(partition) {
        Some(place) => Ok(place.offset),
        None => Ok(log.bounds(cx, partition).await?.start.offset),
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
    match Lake::open_read_only(&data.lake()).await {
        Ok(lake) => Ok(Some(lake)),
        Err(LakeError::NoLake { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads what a sink's table says.
async fn stored(lake: &Lake, sink: &FlowSink) -> Result<Stored, SurveyError> {
    let table = TableName::new(&sink.table).map_err(std::io::Error::other)?;
    let Some(version) = lake.find(&table).await? else { return Ok(Stored::default()) };
    let mut standing = standing(&table, &version.metadata)?;
    let sink = standing.map.sinks.remove(&sink.name);
    Ok(sink.map_or_else(Stored::default, |sink| sink.partitions))
}
