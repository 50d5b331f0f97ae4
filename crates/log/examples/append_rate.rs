//! Appends to a journal as fast as it takes, next to the disk's own write with fdatasync.
//!
//! `cargo run --release -p millstream-log --example append_rate [directory]` alternates the two in
//! one run and prints each round and the ratio of the medians. The disk's own figure is taken
//! with the sizes of the journal's groups, because it depends on them more than on anything else.

#![expect(clippy::print_stdout, reason = "this program prints its result")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use millstream_log::journal::{Config, Journal, Settings};
use millstream_log::{Append, EnqueueError, FetchLimits, Log, LogAdmin, TopicConfig, TopicKind};
use millstream_model::{
    ByteSize, Headers, Record, RecordBatch, RecordBatchBuilder, Timestamp, TopicName,
    TopicPartition,
};
use millstream_runtime::disk::{OpenMode, RealDisk};
use millstream_runtime::{Clock, Context, Disk, Rng};
use tokio::time::Instant;

const ROUNDS: usize = 5;
const ROUND_BYTES: usize = 1 << 30;
const VALUE_BYTES: usize = 1000;
const BATCH_RECORDS: usize = 500;
const PARTITIONS: u32 = 4;

struct Round {
    megabytes_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let (mut disk, mut journal) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        for group_bytes in [1 << 20, 8 << 20] {
            let result = write_plainly(&parent, group_bytes)?;
            print(round, &format!("write + fdatasync of {} MiB", group_bytes >> 20), &result);
            if group_bytes == 8 << 20 {
                disk.push(result.megabytes_per_second);
            }
        }
        let (append, fetch) = append_to_journal(&parent).await?;
        print(round, "journal append", &append);
        print(round, "journal fetch", &fetch);
        journal.push(append.megabytes_per_second);
    }
    let ratio = median(&mut journal) / median(&mut disk);
    println!("journal append / write + fdatasync of 8 MiB: {ratio:.2}");
    Ok(())
}

fn print(round: usize, what: &str, result: &Round) {
    let Round { megabytes_per_second, cpu_seconds_per_gigabyte } = result;
    println!(
        "round {round}: {what:28} {megabytes_per_second:7.0} MB/s {cpu_seconds_per_gigabyte:6.2} CPU-s/GB"
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures `work`, which moves about [`ROUND_BYTES`].
struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Result<Self> {
        Ok(Self { started: Instant::now(), cpu: cpu_time()? })
    }

    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    fn end(self, bytes: usize) -> Result<Round> {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu = cpu_time()?.saturating_sub(self.cpu).as_secs_f64();
        let bytes = bytes as f64;
        Ok(Round {
            megabytes_per_second: bytes / 1e6 / seconds,
            cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
        })
    }
}

/// The processor time of this process, in ticks of 10 ms.
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let after_name = stat.rsplit(')').next().context("fields after the name")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a field")?.parse()?) };
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

fn write_plainly(parent: &Path, group_bytes: usize) -> Result<Round> {
    let path = parent.join("append-rate-plain");
    let file = RealDisk.open(&path, OpenMode::CreateNew)?;
    let buf = vec![7; group_bytes];
    let meter = Meter::start()?;
    let mut at = 0;
    while at < ROUND_BYTES {
        file.write_all_at(&buf, at as u64)?;
        file.sync_data()?;
        at += group_bytes;
    }
    let result = meter.end(at)?;
    RealDisk.remove(&path)?;
    Ok(result)
}

fn batch() -> RecordBatch {
    let value = [b'x'; VALUE_BYTES];
    let mut builder = RecordBatchBuilder::with_capacity(BATCH_RECORDS * (VALUE_BYTES + 64));
    for _ in 0..BATCH_RECORDS {
        builder.push(Record {
            timestamp: Timestamp::EPOCH,
            key: Some(b"user-42"),
            value: Some(&value),
            headers: Headers::EMPTY,
        });
    }
    builder.finish()
}

async fn append_to_journal(parent: &Path) -> Result<(Round, Round)> {
    let dir = parent.join("append-rate-journal");
    let config = Config { disk_free_min: ByteSize(0), ..Config::default() };
    let settings = Settings {
        dir: dir.clone(),
        disk: Arc::new(RealDisk),
        clock: Clock::system(),
        rng: Rng::from_os(),
    };
    let journal = Journal::open(config, settings)?;
    let cx = Context::background();
    let topic = TopicName::new("events")?;
    let config = TopicConfig { partitions: PARTITIONS, kind: TopicKind::Events, retention: None };
    journal.ensure_topic(&cx, &topic, &config).await?;
    let batch = batch();
    let bytes = batch.as_bytes().len();
    let meter = Meter::start()?;
    let mut appended = 0;
    let mut waiting: VecDeque<Append> = VecDeque::new();
    for number in (0..PARTITIONS).cycle() {
        if appended >= ROUND_BYTES {
            break;
        }
        let partition = TopicPartition::new(topic.clone(), number);
        match journal.enqueue(vec![(partition, batch.clone())]) {
            Ok(append) => {
                waiting.push_back(append);
                appended += bytes;
            }
            Err(EnqueueError::Full { .. }) => {
                let oldest = waiting.pop_front().context("a full queue holds appends")?;
                oldest.await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    for append in waiting {
        append.await?;
    }
    let append = meter.end(appended)?;
    let fetch = fetch_all(&cx, &journal, &topic).await?;
    journal.close();
    std::fs::remove_dir_all(dir)?;
    Ok((append, fetch))
}

async fn fetch_all(cx: &Context, journal: &Journal, topic: &TopicName) -> Result<Round> {
    let meter = Meter::start()?;
    let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
    let mut fetched_bytes = 0;
    for number in 0..PARTITIONS {
        let partition = TopicPartition::new(topic.clone(), number);
        let start = journal.bounds(cx, &partition).await?.start;
        let mut reader = journal.reader(cx, &partition, start).await?;
        loop {
            let fetched = reader.fetch(cx, limits).await?;
            if fetched.is_empty() {
                break;
            }
            let bytes = fetched.batches.iter().map(|batch| batch.records.as_bytes().len());
            fetched_bytes += bytes.sum::<usize>();
        }
    }
    meter.end(fetched_bytes)
}
