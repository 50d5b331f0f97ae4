//! Commits the transactions of one owner.
//!
//! Everything that can be refused is refused before the transaction begins: sizes, topics,
//! partitions, positions, and whether the topics that were read are still the same. What goes
//! wrong after that either was taken back for certain, or leaves the writer in doubt: then its
//! client is destroyed, and [`crate::open`] finds out what is committed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use millstream_log::check::{self, Standing};
use millstream_log::{Consumed, PositionRefused, TransactError, Transaction, Writer};
use millstream_model::{ByteSize, LogPosition, TopicName, TopicPartition};
use millstream_runtime::Context;
use millstream_runtime::crash_point::crash_point;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use crate::error::KafkaError;
use crate::message::record_len;
use crate::metrics;
use crate::open::{Ownership, Tasks};
use crate::positions::record::TaskRecord;
use crate::positions::{Group, PositionsTopic};

pub(crate) mod batch;
mod delivered;
pub(crate) mod producer;

use batch::Batch;
use producer::{Failure, Producer};

/// Commits the transactions of one owner of a task.
pub(crate) struct KafkaWriter {
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) producer: Producer,
    pub(crate) ownership: Ownership,
    pub(crate) topic: PositionsTopic,
    pub(crate) group: Arc<Group>,
    /// What the positions topic says of the task.
    pub(crate) record: TaskRecord,
    /// The next position of each input, committed or where the task begins.
    pub(crate) inputs: BTreeMap<TopicPartition, LogPosition>,
    pub(crate) fate: Fate,
}

/// What became of the writer's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It may go on.
    Sound,
    /// A transaction is on its way, or its outcome is not known.
    InDoubt,
    /// Another owner was opened, or a transaction took too long.
    Fenced,
}

impl std::fmt::Debug for KafkaWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KafkaWriter({:?}, {:?})", self.ownership, self.fate)
    }
}

#[async_trait]
impl Writer for KafkaWriter {
    async fn transact(
        &mut self,
        cx: &Context,
        transaction: Transaction,
    ) -> Result<(), TransactError> {
        if self.tasks.is_closed() {
            return Err(TransactError::Closed);
        }
        match self.fate {
            Fate::Sound => {}
            Fate::InDoubt => {
                let reason =
                    "the outcome of an earlier transaction is unknown: open the task again";
                return Err(TransactError::Storage(io::Error::other(reason)));
            }
            Fate::Fenced => return Err(self.fenced()),
        }
        if transaction.is_empty() {
            return Ok(());
        }
        self.check(cx, &transaction).await?;
        let (batch, record) = self.batch(&transaction);
        self.fate = Fate::InDoubt;
        let began = Instant::now();
        let committed = cx.run(self.producer.transact(batch)).await?;
        crash_point("kafka.after_commit");
        match committed {
            Ok(()) => {
                metrics::committed(began.elapsed());
                self.fate = Fate::Sound;
                self.record = record;
                for Consumed { partition, next } in transaction.consumed {
                    self.inputs.insert(partition, next);
                }
                Ok(())
            }
            Err(failure) => Err(self.give_up(failure)),
        }
    }
}

impl KafkaWriter {
    fn fenced(&self) -> TransactError {
        TransactError::Fenced { task: self.ownership.task.clone() }
    }

    /// Says what became of a transaction that did not commit, or may not have.
    fn give_up(&mut self, failure: Failure) -> TransactError {
        match failure {
            Failure::Fenced(error) => {
                metrics::transaction_failed(metrics::Failed::Fenced);
                tracing::warn!(task = %self.ownership.task, %error, "a writer is fenced");
                self.fate = Fate::Fenced;
                self.fenced()
            }
            Failure::Aborted(error) => {
                metrics::transaction_failed(metrics::Failed::Aborted);
                match is_refused_for_good(&error) {
                    true => TransactError::Rejected(error.into_io()),
                    false => TransactError::Storage(error.into_io()),
                }
            }
            Failure::InDoubt(error) => {
                metrics::transaction_failed(metrics::Failed::InDoubt);
                TransactError::Storage(error.into_io())
            }
        }
    }

    /// Refuses what can be refused before anything is sent.
    async fn check(&self, cx: &Context, transaction: &Transaction) -> Result<(), TransactError> {
        self.check_sizes(transaction)?;
        for consumed in &transaction.consumed {
            self.check_consumed(consumed)?;
        }
        self.check_outputs(cx, transaction).await?;
        self.check_inputs(cx, transaction).await
    }

    fn check_sizes(&self, transaction: &Transaction) -> Result<(), TransactError> {
        let config = &self.tasks.cluster.config;
        let limit = |limit: ByteSize| usize::try_from(limit.bytes()).unwrap_or(usize::MAX);
        check::transaction_bytes(transaction, limit(config.transaction_bytes_max))?;
        let records = transaction.records.iter().flat_map(|(_, batch)| batch);
        let bytes = records.map(|record| record_len(&record)).max().unwrap_or(0);
        let bytes_max = limit(config.record_bytes_max);
        if bytes > bytes_max {
            return Err(TransactError::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    fn check_consumed(&self, consumed: &Consumed) -> Result<(), TransactError> {
        let Consumed { partition, next } = consumed;
        let refused = |reason| TransactError::Position { name: partition.to_string(), reason };
        let before = self.inputs.get(partition);
        let standing = before.map_or(Standing::NotAnInput, |before| Standing::At(before.offset));
        check::consumed(standing, next.offset).map_err(refused)?;
        match before {
            Some(before) if next.log != before.log || next.topic != before.topic => {
                Err(refused("it does not fit this log"))
            }
            _ => Ok(()),
        }
    }

    /// Finds every partition that is written to: an unknown one would only show after half a
    /// minute, when the client gives up looking for it.
    async fn check_outputs(
        &self,
        cx: &Context,
        transaction: &Transaction,
    ) -> Result<(), TransactError> {
        let mut counts: BTreeMap<&TopicName, u32> = BTreeMap::new();
        for (partition, _) in &transaction.records {
            let topic = &partition.topic;
            let count = match counts.get(topic) {
                Some(count) => *count,
                None => {
                    let found = self.tasks.cluster.topic(cx, topic).await?;
                    let count = found.map_or(0, |found| found.partitions);
                    counts.insert(topic, count);
                    count
                }
            };
            if partition.partition.0 >= count {
                return Err(TransactError::UnknownPartition(partition.clone()));
            }
        }
        Ok(())
    }

    /// Asks anew whether what was read is still the same topic: a live reader of a topic that was
    /// deleted and created anew notices nothing.
    async fn check_inputs(
        &self,
        cx: &Context,
        transaction: &Transaction,
    ) -> Result<(), TransactError> {
        let check = async |consumed: &Consumed| {
            let Consumed { partition, next } = consumed;
            let found = self.tasks.cluster.describe(cx, &partition.topic).await?;
            match found {
                Some(found) if found.id == next.topic => Ok(()),
                Some(found) => {
                    let (partition, named) = (partition.clone(), next.topic);
                    let refused = PositionRefused::OtherTopic { partition, named, found: found.id };
                    // Opening the task again refuses it with the same words.
                    Err(TransactError::Storage(io::Error::other(refused)))
                }
                None => Err(TransactError::UnknownPartition(partition.clone())),
            }
        };
        try_join_all(transaction.consumed.iter().map(check)).await?;
        Ok(())
    }

    /// Builds what is sent, and what the positions topic says of the task then.
    fn batch(&self, transaction: &Transaction) -> (Batch, TaskRecord) {
        let mut batch = Batch::new(&self.tasks.cluster.names, self.topic, &self.ownership.task);
        batch.append(&transaction.records);
        for (source, position) in &transaction.positions {
            batch.set_position(source, position);
        }
        let mut moved: BTreeMap<_, _> = BTreeMap::new();
        let mut record = self.record.clone();
        if !record.began {
            // The mark says that a missing position was lost: from now on each input has one.
            moved.clone_from(&self.inputs);
            record.began = true;
            batch.set_task(&record);
        }
        for Consumed { partition, next } in &transaction.consumed {
            let is_there = self.record.began && self.inputs.get(partition) == Some(next);
            if !is_there {
                moved.insert(partition.clone(), *next);
            }
        }
        let committed = self.inputs.iter().filter(|_| self.record.began);
        let before = committed.map(|(input, at)| (input.clone(), at.offset)).collect();
        batch.set_offsets(&self.group, &moved, &before);
        (batch, record)
    }
}

/// Tells whether the same transaction would be rejected each time.
fn is_refused_for_good(error: &KafkaError) -> bool {
    let code = error.code();
    matches!(
        code,
        Some(
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                // Another record of the batch is at fault.
                | Code::InvalidDifferentRecord
        )
    )
}
