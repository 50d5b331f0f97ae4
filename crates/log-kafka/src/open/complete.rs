//! Completes a task's last transaction where Kafka ended it in part.
//!
//! A coordinator that dies between the two steps of an end can leave a transaction committed in
//! some partitions and aborted in others (`docs/decisions/0019`). Its last record says what it
//! wrote; a part that is committed proves that the commit was asked for. What was aborted still
//! lies in its partitions: it is copied to their ends, in a transaction that ends as this one did.

use std::sync::Arc;

use millstream_log::OpenError;
use millstream_model::{TaskId, TopicPartition};
use millstream_runtime::{Context, TaskKind};
use tokio::time::Instant;

use super::outcome::{Outcome, outcomes, read_back};
use super::{Tasks, failed};
use crate::call::{CallError, run};
use crate::error::KafkaError;
use crate::metrics;
use crate::positions::manifest::{Moved, MovedOffset, Written};
use crate::positions::{Attempt, Group, GroupOffset, PositionsTopic};
use crate::writer::batch::{Batch, Offsets};
use crate::writer::producer::Producer;

/// The last transaction of a task, whose earlier owners are fenced.
pub(super) struct Last<'a> {
    pub(super) tasks: &'a Tasks,
    pub(super) topic: PositionsTopic,
    pub(super) task: &'a TaskId,
}

/// Whether the last transaction has an end.
pub(super) enum Ended {
    /// In every partition, and the same one.
    Everywhere,
    /// Not in all of them, as far as can be seen.
    NotYet {
        /// What hides it.
        error: KafkaError,
    },
}

/// The offsets of one group in a transaction, with what became of them.
struct Stood {
    group: Arc<Group>,
    moved: Moved,
    outcome: Outcome,
}

impl Last<'_> {
    /// Looks whether the transaction is whole, and completes it otherwise.
    pub(super) async fn complete(
        &self,
        cx: &Context,
        producer: &Producer,
    ) -> Result<Ended, OpenError> {
        let Some(last) = self.attempt(cx).await? else { return Ok(Ended::Everywhere) };
        let ends = last.ends();
        let outcomes = match self.outcomes(cx, &ends).await? {
            Ok(outcomes) => outcomes,
            Err(error) => return Ok(Ended::NotYet { error }),
        };
        let own = ends.iter().zip(&outcomes).find(|(end, _)| end.is_beside(&last.own));
        // Where the task is known to have begun, offsets that are not there were lost since.
        let is_known = own.is_some_and(|(_, outcome)| *outcome == Outcome::Committed);
        let stood = self.stood(cx, &last, last.manifest.is_first && !is_known).await?;
        let all = outcomes.iter().copied().chain(stood.iter().map(|stood| stood.outcome));
        if !is_torn(last.manifest.is_owed, all) {
            return Ok(Ended::Everywhere);
        }
        let ends = ends.iter().zip(&outcomes);
        let aborted: Vec<&Written> =
            ends.filter(|(_, outcome)| **outcome == Outcome::Aborted).map(|(end, _)| end).collect();
        let is_missing = |range: &&Written| aborted.iter().any(|end| end.is_beside(range));
        let missing: Vec<Written> =
            last.manifest.written.iter().filter(is_missing).cloned().collect();
        self.warn(&missing, &stood);
        metrics::completed();
        let batch = self.batch(cx, &last, missing, stood).await?;
        cx.run(producer.transact(batch)).await?.map_err(failed)?;
        Ok(Ended::Everywhere)
    }

    /// Lets the brokers end, in each partition that the transaction reached, what they left open
    /// of it: an end marker that was lost comes with the next transaction of the same producer.
    pub(super) async fn touch(&self, cx: &Context, producer: &Producer) -> Result<(), OpenError> {
        let Some(last) = self.attempt(cx).await? else { return Ok(()) };
        let mut batch = Batch::new(&self.tasks.cluster.names, self.topic, self.task);
        for end in last.ends() {
            batch.touch(&end.topic, end.partition);
        }
        cx.run(producer.touch(batch)).await?.map_err(failed)
    }

    async fn attempt(&self, cx: &Context) -> Result<Option<Attempt>, CallError> {
        self.tasks.positions.last_attempt(cx, self.topic, self.task).await
    }

    /// Finds out how the transaction ended in each partition, or what hides it.
    async fn outcomes(
        &self,
        cx: &Context,
        ends: &[Written],
    ) -> Result<Result<Vec<Outcome>, KafkaError>, OpenError> {
        let deadline = self.tasks.positions.deadline(cx);
        let (cluster, ends) = (self.tasks.cluster.clone(), ends.to_vec());
        let positions = self.tasks.positions.clone();
        let look = move || {
            let began = Instant::now();
            Ok(outcomes(&cluster, &ends, deadline).map_err(|unsettled| {
                let is_held = !unsettled.missed.is_empty();
                let error = positions.explain((began, &unsettled.missed), unsettled.error);
                (is_held, error)
            }))
        };
        match run(cx, TaskKind("kafka_outcomes"), look).await? {
            Ok(found) => Ok(Ok(found)),
            Err((true, error)) => Ok(Err(error)),
            Err((false, error)) => Err(CallError::from(error).into()),
        }
    }

    /// Finds out what became of the transaction's offsets; before the first one none were there.
    async fn stood(
        &self,
        cx: &Context,
        last: &Attempt,
        is_first: bool,
    ) -> Result<Vec<Stood>, OpenError> {
        let mut all = Vec::new();
        for moved in &last.manifest.moved {
            let inputs = moved.offsets.iter().map(|offset| offset.input.clone()).collect();
            let found = self.tasks.positions.group(cx, moved.group.clone(), inputs).await?;
            let of = |input: &TopicPartition| found.offsets.get(input);
            let each =
                moved.offsets.iter().map(|offset| judge(offset, of(&offset.input), is_first));
            // They lie in one partition of Kafka's own topic: one that went tells of all.
            let each: Vec<Outcome> = each.collect();
            let has = |outcome| each.contains(&outcome);
            let outcome = match (has(Outcome::Committed), has(Outcome::Aborted)) {
                (true, _) => Outcome::Committed,
                (false, true) => Outcome::Aborted,
                (false, false) => Outcome::Gone,
            };
            all.push(Stood { group: found.group, moved: moved.clone(), outcome });
        }
        Ok(all)
    }

    /// Builds the transaction that completes the last one.
    async fn batch(
        &self,
        cx: &Context,
        last: &Attempt,
        missing: Vec<Written>,
        stood: Vec<Stood>,
    ) -> Result<Batch, OpenError> {
        let cluster = self.tasks.cluster.clone();
        let deadline = self.tasks.positions.deadline(cx);
        let read = move || read_back(&cluster, &missing, deadline);
        let mut batch = Batch::new(&self.tasks.cluster.names, self.topic, self.task);
        batch.copies = run(cx, TaskKind("kafka_read_back"), read).await?;
        batch.is_first = last.manifest.is_first;
        batch.is_owed = true;
        for Stood { group, moved, outcome } in stood {
            if outcome == Outcome::Aborted {
                batch.offsets.push(Offsets { group, moved });
            }
        }
        Ok(batch)
    }

    fn warn(&self, missing: &[Written], stood: &[Stood]) {
        let records: i64 = missing.iter().map(|range| range.last - range.first + 1).sum();
        let of = |range: &Written| format!("{}-{}", range.topic, range.partition);
        let partitions: Vec<String> = missing.iter().map(of).collect();
        let offsets = stood.iter().any(|stood| stood.outcome == Outcome::Aborted);
        tracing::warn!(
            task = %self.task, records, partitions = partitions.join(" "), offsets,
            "Kafka committed the last transaction in part only; the rest is committed now"
        );
    }
}

impl Attempt {
    /// Returns the last range of each partition that the transaction wrote to.
    fn ends(&self) -> Vec<Written> {
        let mut ends: Vec<Written> = Vec::new();
        for range in self.manifest.written.iter().chain([&self.own]) {
            match ends.iter_mut().find(|end| end.is_beside(range)) {
                Some(end) if end.last < range.last => *end = range.clone(),
                Some(_) => {}
                None => ends.push(range.clone()),
            }
        }
        ends
    }
}

/// Tells whether a transaction ended in different ways; one that is owed had to commit.
fn is_torn(is_owed: bool, outcomes: impl Iterator<Item = Outcome>) -> bool {
    let (mut committed, mut aborted) = (is_owed, false);
    for outcome in outcomes {
        committed |= outcome == Outcome::Committed;
        aborted |= outcome == Outcome::Aborted;
    }
    committed && aborted
}

/// Judges by what the group has now.
fn judge(moved: &MovedOffset, found: Option<&GroupOffset>, is_first: bool) -> Outcome {
    match found {
        Some(found) if *found == moved.committed() => Outcome::Committed,
        // What one of ours left before.
        Some(GroupOffset::Ours(..) | GroupOffset::Renamed) => Outcome::Aborted,
        Some(GroupOffset::None) if is_first => Outcome::Aborted,
        // Expired, deleted or moved by others: what is told when the task is opened.
        Some(GroupOffset::None | GroupOffset::Foreign(_)) | None => Outcome::Gone,
    }
}

#[cfg(test)]
mod tests;
