//! Commits the transactions of one owner.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use millstream_model::{Epoch, TaskId, TopicPartition};
use millstream_runtime::Context;
use tokio::sync::oneshot;

use super::state::{Pending, PendingTransaction, State};
use super::tasks::Ownership;
use super::{Fullness, Outcome, Shared};
use crate::check;
use crate::contract::Writer;
use crate::error::TransactError;
use crate::topic::TopicKind;
use crate::transaction::{Consumed, Transaction};

#[derive(Debug)]
pub(super) struct MemoryWriter {
    shared: Arc<Shared>,
    owner: Ownership,
    /// Set while the outcome of a transaction is not known, and for good if it stays so.
    in_doubt: bool,
}

impl MemoryWriter {
    pub(super) fn new(shared: Arc<Shared>, task: TaskId, epoch: Epoch) -> Self {
        Self { shared, owner: Ownership { task, epoch }, in_doubt: false }
    }
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn transact(
        &mut self,
        cx: &Context,
        transaction: Transaction,
    ) -> Result<(), TransactError> {
        let in_doubt = self.in_doubt;
        let begun = self.shared.change(|state| state.begin(&self.owner, transaction, in_doubt));
        let (answer, done) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.in_doubt |= !error.is_refusal();
                return Err(error);
            }
        };
        self.in_doubt = true;
        match cx.run(done).await? {
            Ok(()) => {}
            Err(_dropped) => {
                let ended = io::Error::other("the log ended before the transaction was settled");
                return Err(TransactError::Storage(ended));
            }
        }
        match answer {
            Answer::Told => {
                self.in_doubt = false;
                Ok(())
            }
            Answer::Lost => Err(TransactError::Storage(io::Error::other("injected by the test"))),
        }
    }
}

/// Whether the caller hears how its transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Told,
    Lost,
}

type Begun = (Answer, oneshot::Receiver<()>);

impl State {
    /// Checks a transaction and puts it into the queue.
    fn begin(
        &mut self,
        owner: &Ownership,
        transaction: Transaction,
        in_doubt: bool,
    ) -> Result<Begun, TransactError> {
        if self.closed {
            return Err(TransactError::Closed);
        }
        if !self.tasks.is_owner(owner) {
            return Err(TransactError::Fenced { task: owner.task.clone() });
        }
        if in_doubt {
            let reason = "the outcome of an earlier transaction is unknown: open the task again";
            return Err(TransactError::Storage(io::Error::other(reason)));
        }
        check::transaction_bytes(&transaction, self.limits.transaction_bytes_max)?;
        self.check_partitions(&transaction)?;
        for consumed in &transaction.consumed {
            self.check_consumed(owner, consumed)?;
        }
        self.check_room(&transaction)?;
        self.check_batches(&transaction)?;
        let (done, settled) = oneshot::channel();
        let failure = self.failures.pop_front();
        let outcome = failure.unwrap_or(Outcome::Committed);
        let owner = owner.clone();
        let pending = PendingTransaction { owner, transaction, outcome, done };
        self.queue.push_back(Pending::Transaction(pending));
        self.settle();
        Ok((if failure.is_some() { Answer::Lost } else { Answer::Told }, settled))
    }

    fn check_partitions(&self, transaction: &Transaction) -> Result<(), TransactError> {
        let written = transaction.records.iter().map(|(name, _)| name);
        let read = transaction.consumed.iter().map(|consumed| &consumed.partition);
        match written.chain(read).find(|name| self.partition(name).is_none()) {
            Some(unknown) => Err(TransactError::UnknownPartition(unknown.clone())),
            None => Ok(()),
        }
    }

    fn check_consumed(&self, owner: &Ownership, consumed: &Consumed) -> Result<(), TransactError> {
        let Consumed { partition, next } = consumed;
        let refused = |reason| TransactError::Position { name: partition.to_string(), reason };
        check::consumed(self.tasks.standing(&owner.task, partition), next.offset)
            .map_err(refused)?;
        match self.check_position(partition, *next) {
            Ok(()) => Ok(()),
            Err(_misfit) => Err(refused("it does not fit this log")),
        }
    }

    /// Rejects a transaction as a broker does: nothing of it stays, and the owner must reopen.
    fn check_batches(&self, transaction: &Transaction) -> Result<(), TransactError> {
        let mut bytes: BTreeMap<&TopicPartition, usize> = BTreeMap::new();
        for (name, batch) in &transaction.records {
            *bytes.entry(name).or_default() += batch.as_bytes().len();
        }
        let limit_of = |name: &TopicPartition| self.batch_bytes_max.get(&name.topic).copied();
        let too_large = |(name, bytes): &(&TopicPartition, usize)| {
            limit_of(name).is_some_and(|bytes_max| *bytes > bytes_max)
        };
        match bytes.into_iter().find(too_large) {
            Some((name, bytes)) => {
                let reason = format!("{bytes} bytes are more than {name} takes at once");
                Err(TransactError::Rejected(io::Error::other(reason)))
            }
            None => Ok(()),
        }
    }

    fn check_room(&self, transaction: &Transaction) -> Result<(), TransactError> {
        let needed = transaction.records.iter().map(|(name, _)| {
            match self.topics.get(&name.topic).map(|topic| topic.topic.config.kind) {
                Some(TopicKind::DeadLetters) => Fullness::NoRecords,
                _ => Fullness::NoEvents,
            }
        });
        match needed.min() {
            Some(refused_from) if self.fullness >= refused_from => Err(TransactError::Full),
            _ => Ok(()),
        }
    }
}
