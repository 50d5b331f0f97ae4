//! A sink in memory that fails in every way it may; several share a table, as workers do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use millstream_log::OffsetBatch;
use millstream_model::{ErrorClass, LogPosition, TopicPartition};
use millstream_pipeline::Sink;
use millstream_pipeline::sink::{
    CommitId, SinkCommit, SinkError, SinkOpened, SinkPosition, SinkReject, Staged,
};
use millstream_runtime::Context;
use tokio::time::Instant;

/// What is durable in the sink, whatever happens to its worker.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<String>,
    pub(crate) positions: BTreeMap<TopicPartition, SinkPosition>,
    pub(crate) last_commit: Option<CommitId>,
    /// What may not be a dead letter yet.
    pub(crate) rejected: BTreeMap<TopicPartition, Vec<SinkReject>>,
    pub(crate) commits: u64,
    /// What happens to the next commits.
    pub(crate) failures: Vec<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing is stored, and the answer is an error.
    Lost,
    /// All is stored, and the answer is an error.
    Stored,
    /// All is stored, and the answer never comes.
    Silent,
}

/// A sink in memory; rows that hold `misfit` are rejected.
#[derive(Debug, Default)]
pub(crate) struct MemorySink {
    table: Arc<Mutex<Table>>,
    rows: Vec<String>,
    positions: BTreeMap<TopicPartition, SinkPosition>,
    rejected: Vec<SinkReject>,
    since: Option<Instant>,
    /// Where the table must stand when the next commit comes.
    begins: BTreeMap<TopicPartition, Option<LogPosition>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the test wants it so")]
struct Wanted;

impl millstream_model::Classify for Wanted {
    fn class(&self) -> ErrorClass {
        ErrorClass::Transient
    }
}

/// Another committer has one of the partitions.
#[derive(Debug, thiserror::Error)]
#[error("the table stands elsewhere")]
struct Moved;

impl millstream_model::Classify for Moved {
    fn class(&self) -> ErrorClass {
        ErrorClass::Transient
    }
}

impl MemorySink {
    /// Stores in a table that outlives it.
    pub(crate) fn of(table: &Arc<Mutex<Table>>) -> Self {
        Self { table: Arc::clone(table), ..Self::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no test panics with the lock")
    }

    /// Stores what is staged, if the table stands where it begins.
    fn store(&mut self, id: &CommitId) -> Result<(), SinkError> {
        let mut table = self.table.lock().expect("no test panics with the lock");
        for (input, begin) in &self.begins {
            let found = table.positions.get(input).map(|position| position.next);
            if found != *begin {
                return Err(SinkError::new("commit", Moved));
            }
            // Dealt with before this commit: the worker wrote its dead letters.
            table.rejected.remove(input);
        }
        table.rows.append(&mut self.rows);
        table.positions.extend(self.positions.clone());
        for reject in &self.rejected {
            table.rejected.entry(reject.partition.clone()).or_default().push(reject.clone());
        }
        table.last_commit = Some(id.clone());
        table.commits += 1;
        Ok(())
    }

    fn remember_begins(&mut self) {
        for (input, begin) in &mut self.begins {
            *begin = self.positions.get(input).map(|position| position.next);
        }
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn open(
        &mut self,
        _cx: &Context,
        inputs: &[TopicPartition],
    ) -> Result<SinkOpened, SinkError> {
        self.rows.clear();
        self.rejected.clear();
        self.since = None;
        let mut stored = self.table().positions.clone();
        stored.retain(|partition, _| inputs.contains(partition));
        self.positions = stored;
        self.begins = inputs.iter().map(|input| (input.clone(), None)).collect();
        self.remember_begins();
        let positions = self.positions.values().cloned().collect();
        let table = self.table();
        let rejected = table.rejected.values().flatten().cloned().collect();
        Ok(SinkOpened { positions, last_commit: table.last_commit.clone().zip(Some(rejected)) })
    }

    async fn write(
        &mut self,
        _cx: &Context,
        partition: &TopicPartition,
        batch: &OffsetBatch,
        next: LogPosition,
    ) -> Result<(), SinkError> {
        let position = self.positions.entry(partition.clone()).or_insert(SinkPosition {
            partition: partition.clone(),
            next,
            rows: 0,
            rejected: 0,
        });
        position.next = next;
        for (offset, record) in batch.iter() {
            let text = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            if text.contains("misfit") {
                let (field, reason) = (Some("f".to_owned()), "does not fit".to_owned());
                let partition = partition.clone();
                self.rejected.push(SinkReject { partition, offset, field, reason });
                position.rejected += 1;
            } else {
                self.rows.push(format!("{partition}@{offset} {text}"));
                position.rows += 1;
            }
        }
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn staged(&self) -> Staged {
        let (rows, rejected) = (self.rows.len() as u64, self.rejected.len() as u64);
        Staged { rows, rejected, bytes: rows * 100, since: self.since }
    }

    async fn commit(&mut self, cx: &Context) -> Result<SinkCommit, SinkError> {
        let id = CommitId(format!("commit-{}", self.table().commits));
        let failure = self.table().failures.pop();
        if failure != Some(Failure::Lost) {
            self.store(&id)?;
        }
        match failure {
            None => {}
            Some(Failure::Silent) => return Err(SinkError::new("commit", cx.cancelled().await)),
            Some(Failure::Lost | Failure::Stored) => return Err(SinkError::new("commit", Wanted)),
        }
        self.since = None;
        self.remember_begins();
        let positions = self.positions.values().cloned().collect();
        Ok(SinkCommit { id, positions, rejected: std::mem::take(&mut self.rejected) })
    }
}
