//! The five standard rules over events in memory, and the JSON library's validation of the same
//! bytes. One thread each.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use millstream_log::OffsetBatch;
use millstream_model::record::Record;
use millstream_model::{
    Headers, Offset, RecordBatch, RecordBatchBuilder, Timestamp, TopicName, TopicPartition,
};
use serde_json::Value;
use sonic_rs::LazyValue;

use super::SecondsArgs;
use crate::meter::{Measured, Meter};
use crate::{events, rules};

mod plain;

/// The events of one batch: about 1 MB, as a fetch brings them.
const BATCH_EVENTS: u64 = 1024;

/// The batches that are cleaned again and again: more than the processor's caches hold.
const BATCHES: u64 = 64;

pub(crate) fn clean(args: &SecondsArgs) -> Result<Measured> {
    let batches: Vec<OffsetBatch> = (0..BATCHES).map(batch).collect();
    let partition = TopicPartition::new(TopicName::new("events")?, 0);
    let mut cleaner = rules::cleaner(1)?;
    let mut checked = 0;
    for batch in &batches {
        let mut outputs = cleaner.outputs(batch.records.as_bytes().len());
        cleaner.clean(&partition, batch, &mut outputs);
        let clean = outputs.clean.remove(0).finish();
        checked += check(batch, &clean, &outputs.dead.finish())?;
    }

    let meter = Meter::start()?;
    let mut bytes = 0;
    while meter.seconds() < limit(args) {
        for batch in &batches {
            let mut outputs = cleaner.outputs(batch.records.as_bytes().len());
            cleaner.clean(&partition, batch, &mut outputs);
            bytes += value_bytes(&batch.records);
            black_box(&outputs);
        }
    }
    Ok(Measured { checked, ..meter.finish(bytes)? })
}

pub(crate) fn validate(args: &SecondsArgs) -> Result<Measured> {
    let batches: Vec<OffsetBatch> = (0..BATCHES).map(batch).collect();
    let meter = Meter::start()?;
    let (mut bytes, mut checked) = (0, 0);
    while meter.seconds() < limit(args) {
        for batch in &batches {
            for record in &batch.records {
                let value = record.value.context("every record has a value")?;
                let parsed: LazyValue<'_> = sonic_rs::from_slice(value)?;
                black_box(&parsed);
                checked += 1;
            }
            bytes += value_bytes(&batch.records);
        }
    }
    Ok(Measured { checked, ..meter.finish(bytes)? })
}

/// The same rules in the plain way: ask the JSON library lazily for each field, and copy around
/// what changes.
pub(crate) fn lazy(args: &SecondsArgs) -> Result<Measured> {
    let batches: Vec<OffsetBatch> = (0..BATCHES).map(batch).collect();
    let mut out = Vec::with_capacity(4 << 10);
    let mut checked = 0;
    for batch in &batches {
        for record in &batch.records {
            let event = record.value.context("every record has a value")?;
            let kept = plain::clean(event, &mut out)?;
            let found = kept.then(|| serde_json::from_slice::<Value>(&out)).transpose()?;
            let expected = rules::expected(event)?;
            ensure!(found == expected, "cleaned to {found:?}, expected {expected:?}");
            checked += 1;
        }
    }

    let meter = Meter::start()?;
    let mut bytes = 0;
    while meter.seconds() < limit(args) {
        for batch in &batches {
            for record in &batch.records {
                let event = record.value.context("every record has a value")?;
                black_box(plain::clean(event, &mut out)?);
                black_box(&out);
            }
            bytes += value_bytes(&batch.records);
        }
    }
    Ok(Measured { checked, ..meter.finish(bytes)? })
}

fn limit(args: &SecondsArgs) -> f64 {
    f64::from(u32::try_from(args.seconds).unwrap_or(u32::MAX))
}

fn batch(index: u64) -> OffsetBatch {
    let mut builder = RecordBatchBuilder::new();
    for number in index * BATCH_EVENTS..(index + 1) * BATCH_EVENTS {
        let event = events::event(number);
        let timestamp = Timestamp::from_millis(1_795_342_260_000);
        let (value, headers) = (Some(event.as_slice()), Headers::EMPTY);
        builder.push(Record { timestamp, key: None, value, headers });
    }
    OffsetBatch { first: Offset(index * BATCH_EVENTS), records: builder.finish() }
}

fn value_bytes(records: &RecordBatch) -> u64 {
    records.iter().map(|record| record.value.map_or(0, <[u8]>::len) as u64).sum()
}

/// Compares every event with what it must have become; returns how many.
fn check(batch: &OffsetBatch, clean: &RecordBatch, dead: &RecordBatch) -> Result<u64> {
    let (mut clean, mut dead) = (clean.iter(), dead.iter());
    for record in &batch.records {
        let event = record.value.context("every record has a value")?;
        match rules::expected(event)? {
            Some(expected) => {
                let found = clean.next().and_then(|record| record.value);
                let found: Value = serde_json::from_slice(found.context("an event is missing")?)?;
                ensure!(found == expected, "cleaned to {found}, expected {expected}");
            }
            None => {
                let found = dead.next().and_then(|record| record.value);
                ensure!(found == Some(event), "a dead letter is not the event as it came");
            }
        }
    }
    ensure!(clean.next().is_none() && dead.next().is_none(), "more came out than went in");
    Ok(u64::from(batch.records.len()))
}
