//! Reads the newest dead letters out of a log.

use std::time::Duration;

use millstream_log::{FetchLimits, Log, ReaderError};
use millstream_model::{Offset, Record, TopicPartition};
use millstream_pipeline::DeadLetter;
use millstream_runtime::Context;
use serde::Deserialize;

use crate::flow::Flow;
use crate::status::{DeadLetterRow, DeadLetters};

/// How many are listed when nobody says.
const LIMIT_DEFAULT: usize = 20;
/// The most that are listed at a time.
const LIMIT_MAX: usize = 10_000;
/// The most bytes of one event that are shown.
const VALUE_BYTES_MAX: usize = 4096;

/// Which dead letters to list.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Query {
    /// How many, the newest ones.
    pub(crate) limit: Option<usize>,
    /// Only of this topic.
    pub(crate) topic: Option<String>,
}

/// Lists the newest dead letters, oldest first.
pub(crate) async fn list(
    cx: &Context,
    log: &dyn Log,
    flow: &Flow,
    query: &Query,
) -> Result<DeadLetters, ReaderError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let mut found = DeadLetters { total: 0, letters: Vec::new() };
    for partition in dead_letter_partitions(flow, query.topic.as_deref()) {
        found.total += newest(cx, log, &partition, (limit, &mut found.letters)).await?;
    }
    found.letters.sort_by_key(|letter| (letter.accepted_ms, letter.partition, letter.offset));
    let surplus = found.letters.len().saturating_sub(limit);
    found.letters.drain(..surplus);
    Ok(found)
}

fn dead_letter_partitions(flow: &Flow, topic: Option<&str>) -> Vec<TopicPartition> {
    let mut names: Vec<&str> =
        flow.pipelines.iter().map(|pipeline| pipeline.dead_letters.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let wanted = names.into_iter().filter(|name| topic.is_none_or(|topic| topic == *name));
    wanted.filter_map(|name| crate::survey::partitions(flow, name).ok()).flatten().collect()
}

/// Adds the newest letters of one partition, and returns how many are readable in all.
async fn newest(
    cx: &Context,
    log: &dyn Log,
    partition: &TopicPartition,
    (limit, letters): (usize, &mut Vec<DeadLetterRow>),
) -> Result<u64, ReaderError> {
    let bounds = log.bounds(cx, partition).await?;
    let (start, end) = (bounds.start.offset.0, bounds.end.offset.0);
    let first = start.max(end.saturating_sub(limit as u64));
    let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
    // A position names the incarnation of the record before it, which only reading tells: begin
    // at the first readable one and skip.
    let mut reader = log.reader(cx, partition, bounds.start).await?;
    let mut next = start;
    while next < end {
        let fetched = reader.fetch(cx, limits).await?;
        for batch in &fetched.batches {
            let wanted = batch.iter().filter(|(offset, _)| (first..end).contains(&offset.0));
            letters.extend(wanted.map(|(offset, record)| row(partition, offset, record)));
        }
        if fetched.next.offset.0 <= next {
            break;
        }
        next = fetched.next.offset.0;
    }
    Ok(end - start)
}

fn row(partition: &TopicPartition, offset: Offset, record: Record<'_>) -> DeadLetterRow {
    let value = record.value.unwrap_or_default();
    let shown = &value[..value.len().min(VALUE_BYTES_MAX)];
    let text = String::from_utf8_lossy(shown).into_owned();
    let base = DeadLetterRow {
        topic: partition.topic.to_string(),
        partition: partition.partition.0,
        offset: offset.0,
        accepted_ms: record.timestamp.as_millis(),
        origin: String::new(),
        pipeline: String::new(),
        step: String::new(),
        field: None,
        reason: String::new(),
        value: text,
    };
    match DeadLetter::parse(record.headers) {
        Ok(letter) => DeadLetterRow {
            origin: letter.origin.to_string(),
            pipeline: letter.pipeline,
            step: letter.step,
            field: letter.field,
            reason: letter.reason,
            ..base
        },
        Err(error) => DeadLetterRow { reason: format!("unreadable headers: {error}"), ..base },
    }
}
