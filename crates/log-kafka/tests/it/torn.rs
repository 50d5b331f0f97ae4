//! Transactions that only a part of the cluster commits, because their coordinator was killed in
//! the middle of the end: whoever opens the task then finds all of it, once.
//!
//! ```text
//!   child process: opens, commits 1, sends 2, SIGKILL ──▶ 2 is open in every partition
//!   this process:  COMMIT marker to one of them       ──▶ as the coordinator that was killed
//!                  opens: its coordinator aborts the rest
//! ```

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use millstream_log::{
    Committed, FetchLimits, Log as _, OffsetBatch, Opened, TopicConfig, TopicKind, Transaction,
};
use millstream_log_kafka::Config;
use millstream_model::{
    Headers, HeadersBuilder, Offset, Record, RecordBatch, RecordBatchBuilder, Timestamp, TopicName,
    TopicPartition,
};
use millstream_runtime::{Clock, crash_point};
use millstream_testkit::kafka::{Cluster, OpenTransaction, Outcome};

use crate::tasks::{Stage, source};
use crate::{block_on, broker};

mod edges;

/// What the child process is told: what to do, the time of the records, the brokers, the prefix of
/// all names.
const CHILD: &str = "MILLSTREAM_TEST_TORN";

/// How long the child's transaction may be open: longer than the test takes to send a marker.
const TRANSACTION_TIME_MAX: Duration = Duration::from_secs(30);

/// How many records a transaction adds to each partition, besides the unusual ones.
const PLAIN_RECORDS: u32 = 200;

/// What the child does until it is killed.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Opens, commits the first transaction and sends the second.
    Transact,
    /// Opens and sends the first transaction.
    TransactFirst,
    /// The same as the first, while others append to one of the outputs.
    TransactAmongOthers,
    /// Opens, and with it repairs what is torn.
    Open,
}

impl Act {
    const fn name(self) -> &'static str {
        match self {
            Self::Transact => "transact",
            Self::TransactFirst => "transact-first",
            Self::TransactAmongOthers => "transact-among-others",
            Self::Open => "open",
        }
    }

    /// Where it is killed: opening passes the point too.
    const fn crash_point(self) -> &'static str {
        match self {
            Self::Transact | Self::TransactAmongOthers => "kafka.before_commit:3",
            Self::TransactFirst => "kafka.before_commit:2",
            Self::Open => "kafka.before_commit:1",
        }
    }
}

/// A part of a transaction that a marker of the killed coordinator reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Positions,
    Output(i32),
    Group,
}

fn config(bootstrap: &str) -> Config {
    Config { transaction_time_max: TRANSACTION_TIME_MAX, ..broker::config(bootstrap) }
}

fn output(partition: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new("clean").expect("a legal name"), partition)
}

/// What a transaction adds to a partition: distinct in all parts, some of it unusual, and all of it
/// some time after `of`.
fn records(of: Timestamp, transaction: u64, partition: u32) -> RecordBatch {
    let name = format!("{transaction}-{partition}");
    let headers = HeadersBuilder::new().with("origin", name.as_bytes()).with("origin", b"");
    let headers = headers.with("none", b"\0\xff");
    let later = i64::try_from(transaction).expect("few") * 1_000 + i64::from(partition);
    let timestamp = Timestamp::from_millis(of.as_millis() + later);
    let plain = Record { timestamp, key: None, value: None, headers: headers.as_headers() };
    let mut batch = RecordBatchBuilder::new();
    batch.push(Record { key: Some(name.as_bytes()), ..plain });
    batch.push(Record { value: Some(b""), ..plain });
    batch.push(Record { key: Some(b""), value: Some(name.as_bytes()), ..plain });
    for number in 0..PLAIN_RECORDS {
        let (key, value) = (format!("{name}-{number}"), format!("value {name}-{number}"));
        batch.push(Record { key: Some(key.as_bytes()), value: Some(value.as_bytes()), ..plain });
    }
    batch.finish()
}

/// Where the task stands after so many transactions, each of which consumes one record.
async fn transaction(stage: &Stage, of: Timestamp, number: u64) -> Result<Transaction> {
    let (_, mut consumed) = stage.consumed().await?;
    ensure!(consumed.next.offset >= Offset(number), "there are fewer records: {consumed:?}");
    consumed.next.offset = Offset(number);
    Ok(Transaction {
        records: vec![(output(0), records(of, number, 0)), (output(1), records(of, number, 1))],
        positions: vec![(source(), Bytes::from(number.to_string()))],
        consumed: vec![consumed],
    })
}

fn check_stands_at(committed: &Committed, number: u64, stage: &Stage) -> Result<()> {
    let position = committed.positions.get(&source());
    ensure!(position == Some(&Bytes::from(number.to_string())), "position {position:?}");
    let consumed = committed.consumed.get(&stage.events()).map(|next| next.offset);
    ensure!(consumed == Some(Offset(number)), "consumed {consumed:?}, not {number}");
    Ok(())
}

/// A task whose second transaction its owner sent and did not end.
struct Scene {
    stage: Stage,
    cluster: &'static Cluster,
    /// The time of the records; what is much older falls to the brokers' retention.
    of: Timestamp,
}

impl Scene {
    async fn set(cluster: &'static Cluster, act: Act) -> Result<Self> {
        let stage = Stage::start(config(&cluster.bootstrap())).await?;
        let two = TopicConfig { partitions: 2, kind: TopicKind::Events, retention: None };
        stage.log.admin().ensure_topic(&stage.cx, &output(0).topic, &two).await?;
        stage.append(&["a", "b", "c"]).await?;
        let of = Timestamp::from_millis(Clock::system().now().as_millis() - 3_600_000);
        let scene = Self { stage, cluster, of };
        scene.run_until_killed(act)?;
        // What another task appends lies between the records and their repair.
        let append = [0, 1].map(|partition| (output(partition), records(of, 0, partition)));
        scene.stage.cx.run(scene.stage.log.enqueue(append.to_vec())?).await??;
        Ok(scene)
    }

    /// Runs the test at the end of this file in a process that is killed before it commits.
    fn run_until_killed(&self, act: Act) -> Result<()> {
        let prefix = &self.stage.config.topic_prefix;
        let (of, bootstrap) = (self.of.as_millis(), self.cluster.bootstrap());
        let told = format!("{} {of} {bootstrap} {prefix}", act.name());
        let output = Command::new(std::env::current_exe()?)
            .args(["--exact", "torn::dies_before_it_commits", "--nocapture"])
            .env(CHILD, told)
            .env(crash_point::VARIABLE, act.crash_point())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let killed = output.status.signal() == Some(9);
        ensure!(killed, "{act:?}: {}{}", text(&output.stdout), text(&output.stderr));
        Ok(())
    }

    /// Returns what is open of the task's transaction in a topic.
    fn open_in(&self, topic: &str, producer: i64) -> Result<Vec<OpenTransaction>> {
        let mut open = self.cluster.open_transactions(topic)?;
        open.retain(|open| open.producer_id == producer);
        Ok(open)
    }

    /// Returns the partitions of the output in which a transaction is open, and whose it is.
    fn open_outputs(&self) -> Result<(Vec<i32>, i64)> {
        let open = self.cluster.open_transactions(&self.stage.name("clean"))?;
        let producer = open.first().context("no transaction is open")?.producer_id;
        Ok((open.into_iter().map(|open| open.partition).collect(), producer))
    }

    /// Sends the markers of the coordinator that decided on *commit* and was killed then.
    fn commit_in(&self, reached: &[Part]) -> Result<()> {
        let (_, producer) = self.open_outputs()?;
        for part in reached {
            let (topic, partition) = match part {
                Part::Positions => (self.stage.name("millstream-positions"), None),
                Part::Output(partition) => (self.stage.name("clean"), Some(*partition)),
                Part::Group => ("__consumer_offsets".to_owned(), None),
            };
            let open = self.open_in(&topic, producer)?;
            let is_meant =
                |open: &&OpenTransaction| partition.is_none_or(|it| it == open.partition);
            let one = open.iter().find(is_meant).with_context(|| format!("{part:?}: {open:?}"))?;
            self.cluster.end_in_partition(one, Outcome::Commit)?;
            let left = self.open_in(&topic, producer)?;
            ensure!(left.len() + 1 == open.len(), "{part:?}: {left:?}");
        }
        Ok(())
    }

    /// Reads all that is committed in a partition.
    async fn read(&self, partition: u32) -> Result<Vec<OffsetBatch>> {
        let Stage { cx, log, .. } = &self.stage;
        let bounds = log.bounds(cx, &output(partition)).await?;
        let mut reader = log.reader(cx, &output(partition), bounds.start).await?;
        let mut found = Vec::new();
        loop {
            let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
            let fetched = reader.fetch(cx, limits).await?;
            found.extend(fetched.batches);
            if fetched.next.offset >= bounds.end.offset {
                return Ok(found);
            }
        }
    }

    /// Checks that a partition holds exactly what these transactions add, in this order.
    async fn check_holds(&self, partition: u32, transactions: &[u64]) -> Result<()> {
        let mut found = RecordBatchBuilder::new();
        for (_, record) in self.read(partition).await?.iter().flat_map(OffsetBatch::iter) {
            found.push(record);
        }
        let mut expected = RecordBatchBuilder::new();
        for transaction in transactions {
            records(self.of, *transaction, partition)
                .iter()
                .for_each(|record| expected.push(record));
        }
        let (found, expected) = (found.finish(), expected.finish());
        let differs = || found.iter().zip(&expected).position(|(found, sent)| found != sent);
        ensure!(
            found == expected,
            "output {partition} has {} records instead of {}; the first that differs: {:?}",
            found.len(),
            expected.len(),
            differs()
        );
        Ok(())
    }

    /// Opens the task, which stands where the transaction `last` left it, and checks what both
    /// outputs hold.
    async fn open_at(&self, last: u64, holds: [&[u64]; 2]) -> Result<Opened> {
        let opened = self.stage.open().await?;
        check_stands_at(&opened.committed, last, &self.stage).context("as it was opened")?;
        let other = broker::connect(&self.stage.cx, &self.stage.config).await?;
        let seen = other.committed(&self.stage.cx, &self.stage.owner().task).await?;
        let seen = seen.context("a task that began")?;
        check_stands_at(&seen, last, &self.stage).context("as others see it")?;
        for (partition, transactions) in (0..).zip(holds) {
            self.check_holds(partition, transactions).await?;
        }
        Ok(opened)
    }

    /// Checks that the task goes on from where it stands, and that nothing is repaired twice.
    async fn check_goes_on(&self, last: u64, holds: [&[u64]; 2]) -> Result<()> {
        let mut opened = self.open_at(last, holds).await?;
        drop(self.open_at(last, holds).await.context("opened again")?);
        let fenced =
            opened.writer.transact(&self.stage.cx, transaction(&self.stage, self.of, 3).await?);
        ensure!(fenced.await.is_err(), "the owner before is not fenced");
        let mut opened = self.open_at(last, holds).await?;
        opened.writer.transact(&self.stage.cx, transaction(&self.stage, self.of, 3).await?).await?;
        drop(opened);
        let holds = holds.map(|before| [before, &[3]].concat());
        for _ in 0..2 {
            let opened = self.open_at(3, [&holds[0], &holds[1]]).await;
            drop(opened.context("after a further transaction")?);
        }
        Ok(())
    }
}

/// What an output holds where nobody committed the second transaction in time.
const NEVER: &[u64] = &[1, 0];
/// What an output holds where the killed coordinator committed it.
const AT_ONCE: &[u64] = &[1, 2, 0];
/// What an output holds where the next owner brought it.
const LATE: &[u64] = &[1, 0, 2];

/// Sends markers to some parts, and checks what the task and its outputs come to.
fn check(reached: &[Part], last: u64, holds: [&[u64]; 2]) -> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    block_on(async {
        let scene = Scene::set(cluster, Act::Transact).await?;
        scene.commit_in(reached)?;
        scene.check_goes_on(last, holds).await
    })
}

#[test]
fn what_no_partition_committed_never_was() -> Result<()> {
    check(&[], 1, [NEVER, NEVER])
}

#[test]
fn what_every_partition_committed_is_not_repaired() -> Result<()> {
    let all = [Part::Positions, Part::Group, Part::Output(0), Part::Output(1)];
    check(&all, 2, [AT_ONCE, AT_ONCE])
}

#[test]
fn a_transaction_that_only_the_positions_committed_is_whole_once_opened() -> Result<()> {
    check(&[Part::Positions], 2, [LATE, LATE])
}

#[test]
fn a_transaction_that_only_the_first_output_committed_is_whole_once_opened() -> Result<()> {
    check(&[Part::Output(0)], 2, [AT_ONCE, LATE])
}

#[test]
fn a_transaction_that_only_the_last_output_committed_is_whole_once_opened() -> Result<()> {
    check(&[Part::Output(1)], 2, [LATE, AT_ONCE])
}

#[test]
fn a_transaction_that_only_the_group_committed_is_whole_once_opened() -> Result<()> {
    check(&[Part::Group], 2, [LATE, LATE])
}

#[test]
fn records_are_not_lost_where_the_task_moved_past_them() -> Result<()> {
    check(&[Part::Positions, Part::Group], 2, [LATE, LATE])
}

#[test]
fn records_are_not_there_twice_where_the_task_did_not_move_past_them() -> Result<()> {
    check(&[Part::Output(0), Part::Output(1)], 2, [AT_ONCE, AT_ONCE])
}

/// How many large records a transaction among others adds: several requests to the broker.
const LARGE_RECORDS: u32 = 8_000;

/// Records that do not compress, with keys of their own.
fn large(of: Timestamp) -> RecordBatch {
    let mut batch = RecordBatchBuilder::new();
    let mut number = 1_u64;
    for key in 0..LARGE_RECORDS {
        let mut value = Vec::new();
        while value.len() < 1_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            value.extend_from_slice(&(number >> 24).to_le_bytes()[..5]);
        }
        let (key, headers) = (format!("large-{key}"), Headers::EMPTY);
        let (key, value) = (Some(key.as_bytes()), Some(value.as_slice()));
        batch.push(Record { timestamp: of, key, value, headers });
    }
    batch.finish()
}

/// Appends one record after the other to an output, until something else ends.
async fn append_others(stage: &Stage, of: Timestamp) -> Result<()> {
    for number in 0_u64.. {
        let (key, headers) = (format!("other-{number}"), Headers::EMPTY);
        let mut one = RecordBatchBuilder::new();
        one.push(Record { timestamp: of, key: Some(key.as_bytes()), value: None, headers });
        let append = stage.log.enqueue(vec![(output(0), one.finish())])?;
        stage.cx.run(append).await??;
    }
    Ok(())
}

#[test]
fn what_others_appended_between_the_records_of_a_torn_transaction_is_not_repeated() -> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    block_on(async {
        let scene = Scene::set(cluster, Act::TransactAmongOthers).await?;
        scene.commit_in(&[Part::Positions, Part::Group])?;
        drop(scene.stage.open().await?);
        let (mut repaired, mut others) = (RecordBatchBuilder::new(), Vec::new());
        let found = scene.read(0).await?;
        for (offset, record) in found.iter().flat_map(OffsetBatch::iter) {
            let key = String::from_utf8(record.key.unwrap_or_default().to_vec())?;
            if key.starts_with("large-") {
                repaired.push(record);
            } else if let Some(number) = key.strip_prefix("other-") {
                ensure!(number == others.len().to_string(), "{key} after {}", others.len());
                others.push(offset);
            }
        }
        // With one gap the transaction is in one piece, and this test shows nothing.
        let gaps = others.windows(2).filter(|pair| pair[1] != pair[0].plus(1)).count();
        ensure!(gaps > 1, "{} records of others with {gaps} gaps", others.len());
        let repaired = repaired.finish();
        ensure!(repaired == large(scene.of), "{} large records", repaired.len());
        Ok(())
    })
}

/// Tears the second transaction, kills who repairs it before that is committed, sends markers of
/// the repair too, and checks what the outputs come to.
fn check_repair(torn: Part, repaired: &[Part], holds: [&[u64]; 2]) -> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    block_on(async {
        let scene = Scene::set(cluster, Act::Transact).await?;
        scene.commit_in(&[torn])?;
        scene.run_until_killed(Act::Open)?;
        // Otherwise it was killed in another transaction than the one that repairs.
        let (open, _) = scene.open_outputs().context("the repair")?;
        let missing = (0..2).filter(|partition| torn != Part::Output(*partition));
        ensure!(missing.eq(open.iter().copied()), "the repair writes to {open:?}");
        scene.commit_in(repaired)?;
        scene.check_goes_on(2, holds).await
    })
}

#[test]
fn a_repair_that_is_killed_before_its_end_is_made_once_by_the_next_owner() -> Result<()> {
    check_repair(Part::Positions, &[], [LATE, LATE])?;
    check_repair(Part::Output(1), &[], [LATE, AT_ONCE])
}

#[test]
fn a_repair_that_is_torn_itself_is_whole_once_opened() -> Result<()> {
    for part in [Part::Output(0), Part::Output(1), Part::Positions] {
        let repaired = check_repair(Part::Positions, &[part], [LATE, LATE]);
        repaired.with_context(|| format!("{part:?}"))?;
    }
    Ok(())
}

/// Not a test by itself: what the tests above start.
#[test]
fn dies_before_it_commits() -> Result<()> {
    let Ok(told) = std::env::var(CHILD) else { return Ok(()) };
    let told: Vec<&str> = told.split(' ').collect();
    let [act, of, bootstrap, prefix] = told[..] else { anyhow::bail!("told {told:?}") };
    let config = Config { topic_prefix: prefix.to_owned(), ..config(bootstrap) };
    let of = Timestamp::from_millis(of.parse()?);
    block_on(async {
        let stage = Stage::start(config).await?;
        crash_point::arm_from_env()?;
        let mut opened = stage.open().await?;
        if act == Act::Open.name() {
            anyhow::bail!("opening did not kill it");
        }
        let first = transaction(&stage, of, 1).await?;
        opened.writer.transact(&stage.cx, first).await?;
        let mut second = transaction(&stage, of, 2).await?;
        if act == Act::TransactAmongOthers.name() {
            second.records.push((output(0), large(of)));
            let transact = opened.writer.transact(&stage.cx, second);
            let others = append_others(&stage, of);
            futures::future::select(Box::pin(others), transact).await;
        } else {
            opened.writer.transact(&stage.cx, second).await?;
        }
        anyhow::bail!("nothing killed it")
    })
}
