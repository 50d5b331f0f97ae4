//! Collects the numbers that `reconcile` does its sums with: from a log and the tables, beside a
//! running node or without one.
//!
//! The order is the point: what sinks registered, the tables, then the pipelines' counts, the topics, the counts once
//! more, and what was accepted last of all. Whatever moves meanwhile then shows as in flight, and
//! never as missing.

use millstream_lake::position::standing;
use millstream_lake::{Lake, LakeError, TableName};
use millstream_log::{Log, ReaderError};
use millstream_model::{Classify, ErrorClass, TopicPartition};
use millstream_pipeline::Counts;
use millstream_pipeline::counts::CountsError;
use millstream_runtime::Context;
use thiserror::Error;

use crate::accounting::{Facts, PipelineFacts, SinkFacts, Tally, TopicFacts};
use crate::data_dir::DataDir;
use crate::flow::{Flow, FlowPipeline, FlowSink, sink_task, topic_name};

/// What a table says of the sink that fills it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stored {
    rows: u64,
    rejected: u64,
    consumed: u64,
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
        before.push(consumed_and_tally(cx, log, flow, pipeline).await?);
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
        facts.dead_lettered = registered(cx, log, flow, sink).await?.rejected;
    }
    let mut pipelines = Vec::new();
    for (pipeline, (_, tally_before)) in flow.pipelines.iter().zip(before) {
        let (consumed, tally) = consumed_and_tally(cx, log, flow, pipeline).await?;
        pipelines.push(PipelineFacts {
            name: pipeline.name.clone(),
            from: pipeline.from.clone(),
            to: pipeline.to.clone(),
            dead_letters: pipeline.dead_letters.clone(),
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

/// What a sink's tasks have registered in the log, which follows the table.
#[derive(Debug, Clone, Copy, Default)]
struct Registered {
    consumed: u64,
    rejected: u64,
}

async fn sink_facts(
    cx: &Context,
    (log, lake): (&dyn Log, Option<&Lake>),
    flow: &Flow,
    sink: &FlowSink,
) -> Result<SinkFacts, SurveyError> {
    // A position is registered after its commit: read first, it is never ahead of the table.
    let registered = registered(cx, log, flow, sink).await?;
    let stored = match lake {
        Some(lake) => stored(lake, sink).await?,
        None => Stored::default(),
    };
    Ok(SinkFacts {
        name: sink.name.clone(),
        table: sink.table.clone(),
        from: sink.from.clone(),
        dead_letters: sink.dead_letters.clone(),
        registered: registered.consumed,
        stored: stored.rows,
        rejected: stored.rejected,
        consumed: stored.consumed,
        dead_lettered_before: registered.rejected,
        dead_lettered: 0,
    })
}

async fn registered(
    cx: &Context,
    log: &dyn Log,
    flow: &Flow,
    sink: &FlowSink,
) -> Result<Registered, SurveyError> {
    let mut sum = Registered::default();
    for partition in partitions(flow, &sink.from)? {
        let task = sink_task(&sink.name, partition.partition.0);
        let Some(committed) = log.committed(cx, &task).await? else { continue };
        let counts = Counts::of_committed(&committed)
            .map_err(|source| SurveyError::Counts { task: task.to_string(), source })?;
        sum.rejected += counts.rejected;
        sum.consumed += committed.consumed.get(&partition).map_or(0, |next| next.offset.0);
    }
    Ok(sum)
}

/// Returns how far a pipeline has read, and what it did, all partitions together. Both come out
/// of the same commit of each task.
async fn consumed_and_tally(
    cx: &Context,
    log: &dyn Log,
    flow: &Flow,
    pipeline: &FlowPipeline,
) -> Result<(u64, Tally), SurveyError> {
    let mut sum = (0, Tally::default());
    for partition in partitions(flow, &pipeline.from)? {
        let task = pipeline.task(partition.partition.0);
        let Some(committed) = log.committed(cx, &task).await? else { continue };
        let counts = Counts::of_committed(&committed)
            .map_err(|source| SurveyError::Counts { task: task.to_string(), source })?;
        let consumed = committed.consumed.get(&partition).map_or(0, |position| position.offset.0);
        sum = (sum.0 + consumed, sum.1.plus(Tally::from(counts)));
    }
    Ok(sum)
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
    let standing = standing(&table, &version.metadata)?;
    let partitions = standing.map.sinks.get(&sink.name).map(|sink| &sink.partitions);
    let mut sum = Stored::default();
    for position in partitions.into_iter().flat_map(|partitions| partitions.values()) {
        sum.rows += position.rows;
        sum.rejected += position.rejected;
        sum.consumed += position.next.0;
    }
    Ok(sum)
}
