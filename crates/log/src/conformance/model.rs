//! Random operations against the naive log: a list of values per partition, and a map of
//! positions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use millstream_model::{LogPosition, Offset, TopicPartition};
use millstream_runtime::Rng;

use super::stage::{Stage, at_once, batch, source};
use super::{Capability, Property};
use crate::contract::{FetchLimits, Opened};
use crate::transaction::{Consumed, Transaction};

/// How many operations one seed plays.
const STEPS: u64 = 150;

pub(super) const PROPERTIES: &[Property] =
    &[Property::new("L2", "random operations agree with the naive log", &[], |stage| {
        Box::pin(random_operations(stage))
    })];

/// What a log is, without everything that makes one hard.
#[derive(Default)]
struct Naive {
    partitions: BTreeMap<TopicPartition, NaivePartition>,
    /// What the task consumed of its input, and the value of its one position.
    next: Option<LogPosition>,
    position: Option<String>,
}

#[derive(Default)]
struct NaivePartition {
    values: Vec<String>,
    /// The offsets that were seen so far, one per value; they never change.
    offsets: Vec<Offset>,
    trimmed: usize,
}

struct Player<'a> {
    stage: &'a mut Stage,
    rng: Rng,
    naive: Naive,
    opened: Opened,
    input: TopicPartition,
    count: u64,
}

async fn random_operations(stage: &mut Stage) -> Result<()> {
    for seed in [1, 2, 3] {
        let task = format!("task-{seed}");
        play(stage, seed, &task).await.with_context(|| format!("seed {seed}"))?;
    }
    Ok(())
}

async fn play(stage: &mut Stage, seed: u64, task: &str) -> Result<()> {
    let input = stage.four(0);
    let opened = stage.open(task, std::slice::from_ref(&input)).await?;
    let rng = Rng::from_seed(seed);
    let mut player = Player { stage, rng, naive: Naive::default(), opened, input, count: 0 };
    player.take_over().await?;
    for step in 0..STEPS {
        player.step(task).await.with_context(|| format!("step {step}"))?;
    }
    player.compare(task).await
}

impl Player<'_> {
    /// Begins with what another seed left.
    async fn take_over(&mut self) -> Result<()> {
        for name in self.stage.partitions() {
            let read = self.stage.read(&name).await?;
            let (offsets, values) = read.into_iter().unzip();
            let partition = NaivePartition { values, offsets, trimmed: 0 };
            self.naive.partitions.insert(name, partition);
        }
        Ok(())
    }

    async fn step(&mut self, task: &str) -> Result<()> {
        match self.rng.below(20) {
            0..8 => self.append().await,
            8..14 => self.transact().await,
            14 => self.reopen(task).await,
            15 => self.trim().await,
            16 => self.read_somewhere().await,
            17 if self.stage.subject.capabilities().contains(&Capability::Restart) => {
                self.stage.restart().await?;
                self.reopen(task).await
            }
            18 if self.stage.subject.capabilities().contains(&Capability::Crash) => {
                self.stage.crash().await?;
                self.reopen(task).await
            }
            _ => self.compare(task).await,
        }
    }

    fn draw_partition(&mut self) -> TopicPartition {
        let all = self.stage.partitions();
        let index = self.rng.below(all.len() as u64) as usize;
        all[index].clone()
    }

    /// Draws records for up to three partitions, some of them twice.
    fn draw_records(&mut self) -> Vec<(TopicPartition, Vec<String>)> {
        let parts = 1 + self.rng.below(3);
        let mut records = Vec::new();
        for _ in 0..parts {
            let to = self.draw_partition();
            let values: Vec<String> = (0..self.rng.below(4))
                .map(|_| {
                    self.count += 1;
                    let length = self.rng.below(200) as usize;
                    format!("{}{}", self.count, "x".repeat(length))
                })
                .collect();
            records.push((to, values));
        }
        records
    }

    async fn append(&mut self) -> Result<()> {
        let records = self.draw_records();
        let append = self.stage.log.enqueue(encoded(&records))?;
        if self.rng.chance(9, 10) {
            self.stage.cx.run(append).await??;
        } else {
            drop(append);
            // The order of two appends to a partition is that of their calls: after this one both
            // are there.
            let touched: BTreeSet<_> = records.iter().map(|(to, _)| to.clone()).collect();
            let fence: Vec<_> =
                touched.into_iter().map(|to| (to, vec!["fence".to_owned()])).collect();
            self.stage.cx.run(self.stage.log.enqueue(encoded(&fence))?).await??;
            self.naive.append(records);
            self.naive.append(fence);
            return Ok(());
        }
        self.naive.append(records);
        Ok(())
    }

    async fn transact(&mut self) -> Result<()> {
        let records = self.draw_records();
        let mut transaction = Transaction { records: encoded(&records), ..Transaction::default() };
        if self.rng.chance(1, 2) {
            let next = self.consume().await?;
            transaction.consumed.push(Consumed { partition: self.input.clone(), next });
            self.naive.next = Some(next);
        }
        if self.rng.chance(1, 2) {
            self.count += 1;
            let value = self.count.to_string();
            transaction.positions.push((source("position"), Bytes::from(value.clone())));
            self.naive.position = Some(value);
        }
        self.opened.writer.transact(&self.stage.cx, transaction).await?;
        self.naive.append(records);
        Ok(())
    }

    /// Reads on from what is consumed, and returns where that led.
    async fn consume(&mut self) -> Result<LogPosition> {
        let from = match self.naive.next {
            Some(next) => next,
            None => self.stage.bounds(&self.input).await?.start,
        };
        let mut reader = self.stage.log.reader(&self.stage.cx, &self.input, from).await?;
        let limits = FetchLimits { bytes_max: self.rng.below(2000) as usize, ..at_once() };
        Ok(reader.fetch(&self.stage.cx, limits).await?.next)
    }

    async fn reopen(&mut self, task: &str) -> Result<()> {
        self.opened = self.stage.open(task, std::slice::from_ref(&self.input)).await?;
        self.check_committed(&self.opened.committed)
    }

    fn check_committed(&self, committed: &crate::transaction::Committed) -> Result<()> {
        let found = committed.consumed.get(&self.input);
        if let Some(next) = self.naive.next {
            ensure!(found == Some(&next), "consumed {found:?}, not {next:?}");
        }
        let found = committed.positions.get(&source("position"));
        let found = found.map(|value| String::from_utf8_lossy(value).into_owned());
        ensure!(found == self.naive.position, "position {found:?}, not {:?}", self.naive.position);
        Ok(())
    }

    async fn trim(&mut self) -> Result<()> {
        let name = self.draw_partition();
        // A registered task holds its input back; the other partitions nobody reads.
        if name == self.input {
            return Ok(());
        }
        self.learn(&name).await?;
        let partition = self.naive.partitions.get_mut(&name).context("every partition is known")?;
        let there = partition.values.len() - partition.trimmed;
        let taken = self.rng.below(there as u64 / 2 + 1) as usize;
        let Some(before) = partition.offsets.get(partition.trimmed + taken) else { return Ok(()) };
        self.stage.log.admin().trim(&self.stage.cx, &name, *before).await?;
        partition.trimmed += taken;
        Ok(())
    }

    async fn read_somewhere(&mut self) -> Result<()> {
        let name = self.draw_partition();
        self.learn(&name).await?;
        let mut reader = self.stage.reader(&name).await?;
        let limits = FetchLimits { bytes_max: self.rng.below(3000) as usize, ..at_once() };
        let fetched = reader.fetch(&self.stage.cx, limits).await?;
        let found = self.stage.read_from(&name, fetched.next).await?;
        let partition = &self.naive.partitions[&name];
        let expected = partition.trimmed + usize::try_from(fetched.len())?;
        let expected = &partition.values[expected..];
        ensure!(
            found.iter().map(|(_, value)| value).eq(expected),
            "{name} from {:?}",
            fetched.next
        );
        Ok(())
    }

    /// Compares a partition with the naive one, and takes over the offsets of new records.
    async fn learn(&mut self, name: &TopicPartition) -> Result<()> {
        let found = self.stage.read(name).await?;
        let partition = self.naive.partitions.get_mut(name).context("every partition is known")?;
        let expected = &partition.values[partition.trimmed..];
        ensure!(
            found.iter().map(|(_, value)| value).eq(expected),
            "{name} holds {} records, not {}, or others",
            found.len(),
            expected.len()
        );
        for (index, (offset, _)) in found.into_iter().enumerate() {
            let index = partition.trimmed + index;
            match partition.offsets.get(index) {
                Some(known) => ensure!(*known == offset, "L2: {name} moved {known} to {offset}"),
                None => {
                    let last = partition.offsets.last();
                    ensure!(last < Some(&offset), "L2: {offset} after {last:?}");
                    partition.offsets.push(offset);
                }
            }
        }
        Ok(())
    }

    async fn compare(&mut self, task: &str) -> Result<()> {
        for name in self.stage.partitions() {
            self.learn(&name).await?;
        }
        let committed = self.stage.committed(task).await?;
        self.check_committed(&committed)
    }
}

impl Naive {
    fn append(&mut self, records: Vec<(TopicPartition, Vec<String>)>) {
        for (to, values) in records {
            self.partitions.entry(to).or_default().values.extend(values);
        }
    }
}

fn encoded(
    records: &[(TopicPartition, Vec<String>)],
) -> Vec<(TopicPartition, millstream_model::RecordBatch)> {
    let encode = |(to, values): &(TopicPartition, Vec<String>)| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        (to.clone(), batch(&values))
    };
    records.iter().map(encode).collect()
}
