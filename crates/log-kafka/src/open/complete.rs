//! Completes a task's last transaction where Kafka ended it in part.
//!
//! A coordinator that dies between the two steps of an end can leave a transaction committed in
//! some partitions and aborted in others (`docs/decisions/0019`). Its last record says what it
//! wrote; a part that is committed proves that the commit was asked for. What was aborted still
//! lies in its partitions: it is copied to their ends, in a transaction that ends as this one did.

use std::sync::Arc;

use millstream_log::OpenError;
use millstream_model::TaskId;
use millstream_runtime::{Context, TaskKind};
use tokio::time::Instant;

use super::outcome::{Missing, Outcome, Unsettled, outcomes, read_back};
use super::{Tasks, failed};
use crate::call::{CallError, run};
use crate::error::{KafkaError, Reason};
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
    pub(super) patience: Patience,
}

/// How long the end of a transaction may be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as any transaction may last.
    Full,
    /// As long as a request: it was asked to end already.
    Spent,
}

/// How the last transaction ended.
pub(super) enum Ended {
    /// In the same way in every partition, by now.
    Everywhere,
    /// Not in all of them: the brokers lost an end marker, of it or of a transaction before it.
    NotYet {
        /// Where.
        error: KafkaError,
    },
    /// In different ways, and what was aborted is gone.
    Torn {
        /// The partition and offset from which records are gone.
        place: String,
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
        let stood = self.stood(cx, &last).await?;
        let all = outcomes.iter().copied().chain(stood.iter().map(|stood| stood.outcome));
        if !is_torn(last.manifest.is_owed, all) {
            return Ok(Ended::Everywhere);
        }
        let is_aborted = |range: &&Written| {
            let mut ended = ends.iter().zip(&outcomes);
            ended.any(|(end, outcome)| end.is_beside(range) && *outcome == Outcome::Aborted)
        };
        let missing: Vec<Written> =
            last.manifest.written.iter().filter(is_aborted).cloned().collect();
        let batch = match self.batch(cx, missing.clone(), stood).await? {
            Ok(batch) => batch,
            Err(Missing { place }) => return Ok(Ended::Torn { place }),
        };
        let has_offsets = !batch.offsets.is_empty();
        cx.run(producer.transact(batch)).await?.map_err(failed)?;
        metrics::completed();
        self.tell(&missing, has_offsets);
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

    /// Finds out how the transaction ended in each partition, or which lost end marker hides it.
    async fn outcomes(
        &self,
        cx: &Context,
        ends: &[Written],
    ) -> Result<Result<Vec<Outcome>, KafkaError>, OpenError> {
        let positions = self.tasks.positions.clone();
        let deadline = match self.patience {
            Patience::Full => positions.deadline(cx),
            Patience::Spent => Instant::now() + self.tasks.cluster.config.request_time_max,
        };
        let (cluster, ends) = (self.tasks.cluster.clone(), ends.to_vec());
        let hang_time_max = cluster.config.hang_time_max();
        let permit = positions.look_permit(cx).await?;
        let look = move || {
            let _permit = permit;
            let began = Instant::now();
            match outcomes(&cluster, &ends, deadline) {
                Ok(found) => Ok(Ok(found)),
                Err(Unsettled { error, missed }) => {
                    let error = positions.explain((began, &missed), error);
                    let is_lost = matches!(error.reason, Reason::NeverEnds { .. });
                    if is_lost { Ok(Err(error)) } else { Err(error) }
                }
            }
        };
        Ok(run(cx, hang_time_max, TaskKind("kafka_outcomes"), look).await?)
    }

    /// Finds out what became of the transaction's offsets.
    async fn stood(&self, cx: &Context, last: &Attempt) -> Result<Vec<Stood>, OpenError> {
        let mut all = Vec::new();
        for moved in &last.manifest.moved {
            let inputs = moved.offsets.iter().map(|offset| offset.input.clone()).collect();
            let found = self.tasks.positions.group(cx, moved.group.clone(), inputs).await?;
            let of = |moved: &MovedOffset| outcome_of(moved, found.offsets.get(&moved.input));
            let each: Vec<Outcome> = moved.offsets.iter().map(of).collect();
            // They lie in one partition of Kafka's own topic: one that tells, tells of all.
            let told = [Outcome::Committed, Outcome::Aborted, Outcome::Absent];
            let outcome = told.into_iter().find(|told| each.contains(told));
            let outcome = outcome.unwrap_or(Outcome::Gone);
            all.push(Stood { group: found.group, moved: moved.clone(), outcome });
        }
        Ok(all)
    }

    /// Builds the transaction that completes the last one, if what is missing is still there.
    async fn batch(
        &self,
        cx: &Context,
        missing: Vec<Written>,
        stood: Vec<Stood>,
    ) -> Result<Result<Batch, Missing>, OpenError> {
        let (cluster, positions) = (self.tasks.cluster.clone(), &self.tasks.positions);
        let (deadline, hang_time_max) = (positions.deadline(cx), cluster.config.hang_time_max());
        let permit = positions.look_permit(cx).await?;
        let read = move || {
            let _permit = permit;
            read_back(&cluster, &missing, deadline)
        };
        let copies = match run(cx, hang_time_max, TaskKind("kafka_read_back"), read).await? {
            Ok(copies) => copies,
            Err(missing) => return Ok(Err(missing)),
        };
        let mut batch = Batch::new(&self.tasks.cluster.names, self.topic, self.task);
        batch.copies = copies;
        batch.is_owed = true;
        for Stood { group, moved, outcome } in stood {
            if matches!(outcome, Outcome::Aborted | Outcome::Absent) {
                batch.offsets.push(Offsets { group, moved });
            }
        }
        Ok(Ok(batch))
    }

    fn tell(&self, missing: &[Written], has_offsets: bool) {
        let records: i64 = missing.iter().map(|range| range.last - range.first + 1).sum();
        let of = |range: &Written| format!("{}-{}", range.topic, range.partition);
        let partitions: Vec<String> = missing.iter().map(of).collect();
        tracing::warn!(
            task = %self.task, records, partitions = partitions.join(" "), offsets = has_offsets,
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

/// Tells by what the group has now what became of one offset.
fn outcome_of(moved: &MovedOffset, found: Option<&GroupOffset>) -> Outcome {
    match found {
        // It was there before.
        Some(found) if *found == moved.committed() && moved.before == moved.offset => Outcome::Gone,
        Some(found) if *found == moved.committed() => Outcome::Committed,
        Some(GroupOffset::Ours(_, position))
            if i128::from(moved.before) == position.offset.0.into() =>
        {
            Outcome::Aborted
        }
        Some(GroupOffset::None) if moved.before < 0 => Outcome::Absent,
        // Expired, deleted, renamed or moved by others: what is told when the task is opened.
        Some(_) | None => Outcome::Gone,
    }
}

#[cfg(test)]
mod tests;
