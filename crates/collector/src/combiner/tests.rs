use millstream_log::memory::{Limits, MemoryLog};
use millstream_log::{RecordOutcome, TopicConfig, TopicKind};
use millstream_model::{ByteSize, Headers, Offset, Timestamp, TopicName};
use millstream_runtime::{Clock, Context, Rng, TaskHandle, TaskKind, spawn};

use super::*;
use crate::budget::Budget;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::outcome::Verdict;
use crate::readiness::AlwaysReady;

/// A combiner at work, the log behind it, and the budget of its requests.
struct Stage {
    combiner: Combiner,
    log: MemoryLog,
    budget: Budget,
    _running: TaskHandle<()>,
}

async fn stage(append_bytes_max: usize, limits: Limits) -> Stage {
    let cx = Context::background();
    let clock = Clock::manual(Timestamp::EPOCH);
    let log = MemoryLog::with_limits(clock.clone(), Rng::from_seed(1), limits);
    let name = TopicName::new("events").expect("a name");
    let topic = TopicConfig { partitions: 2, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(&cx, &name, &topic).await.expect("created");
    let topic = Topic { name, partitions: 2 };
    let budget = Budget::new(ByteSize::mib(1));
    let settings = crate::Settings {
        log: Arc::new(log.clone()),
        topic: topic.clone(),
        clock,
        readiness: Arc::new(AlwaysReady),
    };
    let shared = Arc::new(Shared {
        budget: budget.clone(),
        metrics: Metrics::new(),
        config: Config::default(),
        settings,
    });
    let combiner = Combiner::new(&topic, append_bytes_max);
    let running = spawn(&cx, TaskKind("test.combiner"), combiner.clone().run(shared));
    Stage { combiner, log, budget, _running: running }
}

impl Stage {
    /// Adds a request of one record to each of these partitions, weighing `bytes` in all.
    fn add(&self, bytes: usize, partitions: &[u32]) -> (Vec<Place>, Settling) {
        let share = self.budget.take(bytes).expect("fits");
        self.combiner.add(share, |batch| {
            let record = Record {
                timestamp: Timestamp::EPOCH,
                key: None,
                value: Some(b"{}"),
                headers: Headers::EMPTY,
            };
            let push = |partition: &u32| batch.push(PartitionId(*partition), record);
            partitions.iter().map(push).collect()
        })
    }

    fn stored(&self, partition: u32) -> usize {
        let name = TopicName::new("events").expect("a name");
        self.log
            .records(&TopicPartition::new(name, partition))
            .iter()
            .map(|batch| batch.iter().count())
            .sum()
    }
}

fn offsets(outcome: &Outcome, places: &[Place]) -> Vec<u64> {
    let offset = |place: &Place| match outcome.of(*place) {
        RecordOutcome::Appended(Some(Offset(offset))) => offset,
        other => unreachable!("{other:?}"),
    };
    places.iter().map(offset).collect()
}

#[tokio::test]
async fn requests_of_one_turn_share_an_append_and_each_finds_its_offsets() {
    let stage = stage(1 << 20, Limits::default()).await;
    let (first_places, first) = stage.add(100, &[0, 1, 0]);
    let (second_places, second) = stage.add(100, &[1, 0]);
    let (first, second) = (first.settled().await, second.settled().await);
    assert!(Arc::ptr_eq(&first, &second), "one append, one outcome");
    assert_eq!(offsets(&first, &first_places), [0, 0, 1]);
    assert_eq!(offsets(&second, &second_places), [1, 2]);
    assert_eq!((stage.stored(0), stage.stored(1)), (3, 2));

    let (third_places, third) = stage.add(100, &[1]);
    assert_eq!(offsets(&*third.settled().await, &third_places), [2]);
    assert_eq!(stage.budget.used(), 0);
}

#[tokio::test]
async fn an_append_stays_within_its_bytes_unless_one_request_is_larger() {
    let stage = stage(250, Limits::default()).await;
    let (_, first) = stage.add(100, &[0]);
    let (_, second) = stage.add(100, &[0]);
    let (_, third) = stage.add(100, &[0]);
    let (_, large) = stage.add(1000, &[0]);
    let first = first.settled().await;
    let second = second.settled().await;
    let third = third.settled().await;
    let large = large.settled().await;
    assert!(Arc::ptr_eq(&first, &second));
    assert!(!Arc::ptr_eq(&second, &third), "250 bytes hold two of them");
    assert!(!Arc::ptr_eq(&third, &large), "alone");
    assert_eq!(stage.stored(0), 4);
}

#[tokio::test]
async fn what_waits_holds_its_share_although_the_request_is_gone() {
    let stage = stage(1 << 20, Limits::default()).await;
    stage.log.hold();
    let (_, settling) = stage.add(100, &[0]);
    drop(settling);
    let (_, settling) = stage.add(50, &[1]);
    assert_eq!(stage.budget.used(), 150);
    stage.log.release();
    settling.settled().await;
    assert_eq!((stage.stored(0), stage.stored(1), stage.budget.used()), (1, 1, 0));
}

#[tokio::test]
async fn an_append_that_is_refused_is_refused_for_each_of_its_requests() {
    let limits = Limits { append_bytes_max: 40, ..Limits::default() };
    let stage = stage(1 << 20, limits).await;
    let (_, first) = stage.add(100, &[0, 1]);
    let (_, second) = stage.add(100, &[0]);
    for settling in [first, second] {
        let outcome = settling.settled().await;
        let verdict = outcome.verdict();
        assert!(matches!(verdict, Verdict::Failed(EnqueueError::TooLarge { .. })), "{verdict:?}");
    }
    assert_eq!((stage.stored(0), stage.stored(1), stage.budget.used()), (0, 0, 0));
}
