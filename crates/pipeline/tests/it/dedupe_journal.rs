//! `dedupe` on the embedded journal, log and snapshots on one disk that loses power at any moment.

use std::path::PathBuf;
use std::sync::Arc;

use millstream_log::journal::{self, Journal};
use millstream_log::{FetchLimits, Log, TopicConfig, TopicKind};
use millstream_model::{ByteSize, Timestamp};
use millstream_pipeline::processor::Surroundings;
use millstream_pipeline::{Processor, TaskState};
use millstream_runtime::disk::fault::{FaultDisk, Survival};
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn};

use crate::dedupe::{changelog, event, settings_on};
use crate::stage::{PARTITIONS, batch, partition, topic_name};

const IDS: usize = 12;

/// How one life of the node ended.
enum Life {
    /// Everything is in the clean topic.
    Done,
    PowerCut,
}

/// A disk, and what the client has still to send.
struct Node {
    disk: FaultDisk,
    /// Events in the order they are sent; each stands here twice.
    unsent: Vec<usize>,
    /// How many appends were acknowledged.
    acknowledged: u64,
    life: u64,
}

impl Node {
    fn new() -> Self {
        // One copy follows at once, or after the next event.
        let twice = (0..IDS / 2).flat_map(|pair| [2 * pair, 2 * pair, 2 * pair + 1, 2 * pair]);
        let unsent = twice.chain(1..2).collect();
        Self { disk: FaultDisk::new(1), unsent, acknowledged: 0, life: 0 }
    }

    fn open(&self) -> Option<Journal> {
        let config = journal::Config {
            // Each crash leaves room behind that was allocated ahead.
            bytes_max: ByteSize::gib(4),
            segment_bytes_max: ByteSize::kib(512),
            group_bytes_max: ByteSize::kib(512),
            batch_bytes_max: ByteSize::kib(256),
            transaction_bytes_max: ByteSize::kib(256),
            reserve_bytes: ByteSize::kib(64),
            ..journal::Config::default()
        };
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let (disk, rng) = (Arc::new(self.disk.clone()), Rng::from_seed(self.life + 7));
        let settings = journal::Settings { dir: PathBuf::from("/journal"), disk, clock, rng };
        Journal::open(config, settings).ok()
    }

    /// Runs until everything is sent and cleaned, or the power goes.
    async fn live(&mut self) -> Life {
        self.life += 1;
        let Some(journal) = self.open() else { return Life::PowerCut };
        let cx = Context::background();
        let ended = self.live_on(&cx, &journal).await;
        cx.cancel();
        journal.close();
        ended
    }

    async fn live_on(&mut self, cx: &Context, journal: &Journal) -> Life {
        for (topic, kind) in [
            ("events", TopicKind::Events),
            ("clean", TopicKind::Events),
            ("dead", TopicKind::DeadLetters),
            ("test-dedupe-changelog", TopicKind::Changelog),
        ] {
            let config = TopicConfig { partitions: PARTITIONS, kind, retention: None };
            let name = topic_name(topic);
            if journal.admin().ensure_topic(cx, &name, &config).await.is_err() {
                return Life::PowerCut;
            }
        }
        let surroundings = Surroundings {
            log: Arc::new(journal.clone()),
            clock: Clock::manual(Timestamp::from_millis(1_000)),
            rng: Rng::from_seed(self.life),
        };
        let made = Processor::new(settings_on(&self.disk), surroundings);
        let (processor, mut status) = made.expect("the test's steps");
        let task_cx = cx.clone();
        let mut task =
            spawn(cx, TaskKind("processor"), async move { processor.run(&task_cx).await });
        let input = partition("events", 0);
        let mut ended = Life::Done;
        while let Some(id) = self.unsent.first() {
            let records = vec![(input.clone(), batch(&[&event(*id)]))];
            let Ok(append) = journal.enqueue(records) else { return Life::PowerCut };
            if append.await.is_err() {
                ended = Life::PowerCut;
                break;
            }
            self.acknowledged += 1;
            self.unsent.remove(0);
            // One transaction for each event, so that there are many moments.
            let end = journal.bounds(cx, &input).await.expect("the partition is there").end;
            let reached = status.wait_for(|status| {
                let next = status.inputs.first().map(|input| input.next);
                next >= Some(end.offset) || matches!(status.state, TaskState::Stuck(_))
            });
            if matches!(reached.await.expect("the task lives").state, TaskState::Stuck(_)) {
                ended = Life::PowerCut;
                break;
            }
        }
        cx.cancel();
        task.join().await.expect("no panic").expect("no failure");
        ended
    }

    async fn clean(&self) -> Vec<String> {
        let journal = self.open().expect("the disk is well");
        let (cx, output) = (Context::background(), partition("clean", 0));
        let bounds = journal.bounds(&cx, &output).await.expect("the partition is there");
        let mut reader = journal.reader(&cx, &output, bounds.start).await.expect("it can be read");
        let limits = FetchLimits { bytes_max: 1 << 20, wait_max: std::time::Duration::ZERO };
        let mut values = Vec::new();
        let mut next = bounds.start.offset;
        while next < bounds.end.offset {
            let fetched = reader.fetch(&cx, limits).await.expect("it can be read");
            next = fetched.next.offset;
            let records = fetched.batches.iter().flat_map(|batch| batch.iter());
            values.extend(records.map(|(_, record)| {
                String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()
            }));
        }
        journal.close();
        values
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_at_any_moment_the_rows_are_the_same() {
    let mut whole = Node::new();
    assert!(matches!(whole.live().await, Life::Done));
    let expected: Vec<String> = (0..IDS).map(event).collect();
    assert_eq!(whole.clean().await, expected);
    let journal = whole.open().expect("the disk is well");
    let bounds = journal.bounds(&Context::background(), &changelog()).await.expect("it is there");
    assert!(bounds.start.offset.0 > 0, "snapshots let the changelog be trimmed");
    journal.close();

    let changes = whole.disk.changes();
    for (case, change) in (1..=changes).step_by(5).enumerate() {
        let mut node = Node::new();
        node.disk.crash_at(change);
        let survivals = [Survival::Synced, Survival::Written, Survival::Mixture(change)];
        while !matches!(node.live().await, Life::Done) {
            assert!(node.life < 5, "change {change}: no progress without faults");
            node.disk = node.disk.reboot(survivals[case % survivals.len()]);
        }
        // It may have struck what the last life began and nobody waited for, or not at all.
        node.disk.clear_faults();
        if node.disk.is_crashed() {
            node.disk = node.disk.reboot(survivals[case % survivals.len()]);
        }
        assert_eq!(node.clean().await, expected, "power cut at change {change} of {changes}");
    }
}
