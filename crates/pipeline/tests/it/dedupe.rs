//! What `dedupe` guarantees, whatever happens to its task: the same rows with and without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_log::memory::{Gaps, Outcome};
use millstream_log::{Log, OffsetBatch};
use millstream_model::{ErrorClass, Headers, Offset, RecordBatchBuilder, Timestamp};
use millstream_pipeline::event::Limits;
use millstream_pipeline::keyed_state::Books;
use millstream_pipeline::processor::{Keeping, Settings};
use millstream_pipeline::step::{StepConfig, dedupe};
use millstream_pipeline::{Cleaner, Counts, TaskState, TaskStatus, cleaner};
use millstream_runtime::disk::OpenMode;
use millstream_runtime::disk::fault::{Fault, FaultDisk, Op, OpKind, When};
use millstream_runtime::{Disk, Rng};
use millstream_state::{Change, FamilyId, MemoryStore, SnapshotDir, Store as _, WriteBatch};
use proptest::prelude::*;

use crate::stage::{self, PARTITIONS, Running, Stage, partition, topic_name};

const SNAPSHOTS: &str = "/state/test.clean.0";

fn config() -> dedupe::Config {
    dedupe::Config { within: Duration::from_secs(60), ..dedupe::Config::default() }
}

fn settings_of(config: dedupe::Config) -> Settings {
    let mut settings = stage::settings(0);
    settings.cleaner.steps.push(StepConfig::Dedupe(config));
    settings.keeping = Some(Keeping::new(topic_name("test-dedupe-changelog"), None));
    settings
}

fn settings() -> Settings {
    settings_of(config())
}

/// Settings with a snapshot after every transaction, on `disk`.
pub(crate) fn settings_on(disk: &FaultDisk) -> Settings {
    with_snapshots(disk, settings())
}

fn with_snapshots(disk: &FaultDisk, mut settings: Settings) -> Settings {
    let snapshots = SnapshotDir::new(Arc::new(disk.clone()), PathBuf::from(SNAPSHOTS));
    let keeping = settings.keeping.as_mut().expect("it keeps state");
    keeping.snapshots = Some(snapshots);
    (keeping.snapshot_bytes_min, keeping.snapshot_growth_percent) = (1, 0);
    settings
}

pub(crate) fn event(id: usize) -> String {
    format!("{{\"user_id\":\"u\",\"message_id\":\"m{id}\"}}")
}

pub(crate) fn changelog() -> millstream_model::TopicPartition {
    partition("test-dedupe-changelog", 0)
}

async fn append(stage: &Stage, events: &[String]) {
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    stage.append(&partition("events", 0), &events).await;
}

/// Waits until the task cannot go on, and returns why.
async fn stuck(running: &mut Running) -> (String, ErrorClass, String) {
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    (stuck.step, stuck.class, stuck.reason)
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_twice_goes_on_once_and_is_counted() {
    let stage = Stage::new().await;
    let events = [event(0), event(1), event(0), "{}".to_owned(), event(1)];
    append(&stage, &events).await;
    let mut running = stage.process(settings());
    let status = running.until_done(5).await;
    assert_eq!(stage.values(&partition("clean", 0)), events[..2]);
    let expected =
        Counts { read: 5, written: 2, rejected: 1, deduplicated: 2, ..Counts::default() };
    assert_eq!(status.counts, expected);
    let keyed = status.keyed.expect("the task keeps state");
    assert_eq!((keyed.entries, keyed.evicted_early, keyed.restoring), (3, 0, None));
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_remembers_what_the_old_one_saw() {
    let stage = Stage::new().await;
    append(&stage, &[event(0), event(1)]).await;
    let mut running = stage.process(settings());
    running.until_done(2).await;
    running.drain().await;
    append(&stage, &[event(1), event(2), event(0)]).await;
    let mut running = stage.process(settings());
    let status = running.until_done(5).await;
    assert_eq!(stage.values(&partition("clean", 0)), [event(0), event(1), event(2)]);
    assert_eq!(status.counts.deduplicated, 2);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn unknown_outcomes_change_nothing_about_what_is_remembered() {
    for gaps in [Gaps::None, Gaps::ControlRecords] {
        for seed in 0..24 {
            let mut rng = Rng::from_seed(seed);
            let stage = Stage::new().await;
            stage.log.set_gaps(gaps);
            let mut running = stage.process(settings());
            let mut expected = Vec::new();
            let mut sent = 0;
            for round in 0..12 {
                for _ in 0..rng.below(3) {
                    let lost = rng.below(2) == 0;
                    let outcome = if lost { Outcome::Lost } else { Outcome::Committed };
                    stage.log.fail_next_transact(outcome);
                }
                // Half of them again, in the same post or in a later one.
                let again = usize::try_from(rng.below(round + 1)).unwrap();
                let fresh = usize::try_from(round).unwrap();
                append(&stage, &[event(fresh), event(again)]).await;
                expected.push(event(fresh));
                sent += 2;
                if rng.below(2) == 0 {
                    running.until_done(sent).await;
                }
            }
            let status = running.until_done(sent).await;
            assert_eq!(stage.values(&partition("clean", 0)), expected, "{gaps:?} seed {seed}");
            assert_eq!(status.counts.deduplicated, 12, "{gaps:?} seed {seed}");
            running.drain().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_moment_gives_the_same_rows() {
    for with_snapshots in [false, true] {
        let (stage, disk) = (Stage::new().await, FaultDisk::new(1));
        let settings = || if with_snapshots { settings_on(&disk) } else { settings() };
        let mut expected = Vec::new();
        for round in 0..40_usize {
            append(&stage, &[event(round), event(round / 2)]).await;
            expected.push(event(round));
            let running = stage.process(settings());
            // Each round the task gets a little further before it is dropped.
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            running.kill().await;
        }
        let mut running = stage.process(settings());
        let status = running.until_done(80).await;
        assert_eq!(stage.values(&partition("clean", 0)), expected);
        assert_eq!(status.counts.deduplicated, 40);
        running.drain().await;
    }
}

/// Lets a task with snapshots see many events, one transaction each.
async fn fill(stage: &Stage, disk: &FaultDisk, ids: std::ops::Range<usize>) -> Settings {
    let mut running = stage.process(settings_on(disk));
    for id in ids {
        append(stage, &[event(id)]).await;
        running.until_done(id as u64 + 1).await;
    }
    running.drain().await;
    settings_on(disk)
}

fn snapshot_names(disk: &FaultDisk) -> Vec<String> {
    let entries = disk.list(Path::new(SNAPSHOTS)).expect("there are snapshots");
    entries.into_iter().map(|entry| entry.name).collect()
}

#[tokio::test(start_paused = true)]
async fn the_changelog_is_trimmed_behind_the_second_newest_snapshot_and_nothing_is_forgotten() {
    let (stage, disk) = (Stage::new().await, FaultDisk::new(1));
    let settings = fill(&stage, &disk, 0..10).await;
    let bounds = stage.log.bounds(&stage.cx, &changelog()).await.unwrap();
    let names = snapshot_names(&disk);
    assert_eq!(names.len(), 2);
    assert_eq!(names[0], format!("{:020}.snapshot", bounds.start.offset.0));
    assert!(bounds.start.offset.0 > 0);
    // The newest one is damaged: the one before takes its place.
    let newest = disk.open(&Path::new(SNAPSHOTS).join(&names[1]), OpenMode::ReadWrite).unwrap();
    newest.write_all_at(b"damaged", 0).unwrap();
    append(&stage, &(0..11).map(event).collect::<Vec<_>>()).await;
    let mut running = stage.process(settings);
    let status = running.until_done(21).await;
    assert_eq!(status.counts.deduplicated, 10);
    assert_eq!(stage.values(&partition("clean", 0)), (0..11).map(event).collect::<Vec<_>>());
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_read_makes_way_for_the_one_before() {
    let (stage, disk) = (Stage::new().await, FaultDisk::new(1));
    let settings = fill(&stage, &disk, 0..10).await;
    let newest = Path::new(SNAPSHOTS).join(&snapshot_names(&disk)[1]);
    let reads_newest = move |op: &Op| op.kind == OpKind::Open && op.path == newest;
    disk.inject(When::Every(Box::new(reads_newest)), Fault::Error);
    append(&stage, &(0..11).map(event).collect::<Vec<_>>()).await;
    let mut running = stage.process(settings);
    assert_eq!(running.until_done(21).await.counts.deduplicated, 10);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn while_no_snapshot_can_be_read_a_task_waits_for_the_disk_and_lets_nothing_through() {
    let (stage, disk) = (Stage::new().await, FaultDisk::new(1));
    let settings = fill(&stage, &disk, 0..10).await;
    disk.inject(When::Every(Box::new(|op: &Op| op.kind == OpKind::Read)), Fault::Error);
    append(&stage, &(0..11).map(event).collect::<Vec<_>>()).await;
    let mut running = stage.process(settings);
    let (step, class, reason) = stuck(&mut running).await;
    assert_eq!((step.as_str(), class), ("restore", ErrorClass::Transient), "{reason}");
    assert!(reason.contains(".snapshot"), "{reason}");
    assert_eq!(stage.values(&partition("clean", 0)).len(), 10, "nothing was let through");
    disk.clear_faults();
    assert_eq!(running.until_done(21).await.counts.deduplicated, 10);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_state_is_refused_with_the_remedy_and_the_remedy_works() {
    let (stage, disk) = (Stage::new().await, FaultDisk::new(1));
    fill(&stage, &disk, 0..10).await;
    append(&stage, &[event(3)]).await;
    let empty = FaultDisk::new(2);
    let mut running = stage.process(settings_on(&empty));
    let (step, class, reason) = stuck(&mut running).await;
    assert_eq!((step.as_str(), class), ("restore", ErrorClass::Invalid));
    assert!(reason.contains("restore the snapshots"), "{reason}");
    assert_eq!(stage.values(&partition("clean", 0)).len(), 10, "nothing was let through");
    running.drain().await;
    take_out(&stage).await;
    begins_with_an_empty_state(&stage, || settings_on(&empty), 11).await;
}

/// Lets the task run without the step until it let go of its state; there may be no events.
async fn take_out(stage: &Stage) {
    let mut running = stage.process(stage::settings(0));
    let is_idle = |status: &TaskStatus| status.state == TaskState::Idle && status.lag() == 0;
    running.until(is_idle).await;
    running.drain().await;
}

/// The ids of the state as the changelog has them.
fn books(stage: &Stage) -> Books {
    let mut store = MemoryStore::new(u64::MAX);
    for record in stage.log.records(&changelog()).iter().flat_map(|batch| &batch.records) {
        let mut batch = WriteBatch::new();
        Change::decode(record).expect("a record of ours").apply_to(&mut batch);
        store.commit(&batch, None).expect("there is room");
    }
    let books = store.get(FamilyId(0), &[]).expect("it is in memory").expect("there are books");
    Books::decode(&books.value).expect("they are ours")
}

/// Puts the step back after `read` events, with room for four ids and no more.
async fn begins_with_an_empty_state(stage: &Stage, settings: impl Fn() -> Settings, read: u64) {
    let settings = || {
        let mut settings = settings();
        let config = dedupe::Config { keys_max: 4, ..config() };
        *settings.cleaner.steps.last_mut().expect("the step") = StepConfig::Dedupe(config);
        settings
    };
    // Four ids, each twice, in a transaction each; the task is started anew in between.
    for (round, id) in (1..).zip([90, 91, 92, 93, 90, 91, 92, 93]) {
        append(stage, &[event(id)]).await;
        let mut running = stage.process(settings());
        let status = running.until_done(read + round).await;
        running.drain().await;
        let keyed = status.keyed.expect("the task keeps state");
        assert_eq!((keyed.entries, keyed.evicted_early), (round.min(4) + 1, 0), "{round}");
        assert_eq!((books(stage).ids, books(stage).transactions), (round.min(4), round));
    }
    // With another number of partitions than the input's, clean events go by their key.
    let clean: Vec<String> =
        (0..PARTITIONS).flat_map(|number| stage.values(&partition("clean", number))).collect();
    for id in 90..94 {
        let count = clean.iter().filter(|value| **value == event(id)).count();
        assert_eq!(count, 1, "event {id}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_number_of_partitions_is_refused() {
    let stage = Stage::new().await;
    append(&stage, &[event(0)]).await;
    let mut running = stage.process(settings());
    running.until_done(1).await;
    running.drain().await;
    let mut settings = settings();
    settings.cleaner.input_partitions = PARTITIONS + 1;
    let of_three = settings.cleaner.clone();
    let mut running = stage.process(settings);
    let (step, class, reason) = stuck(&mut running).await;
    assert_eq!((step.as_str(), class), ("restore", ErrorClass::Invalid));
    assert!(reason.contains("of 2 partitions, its input has 3"), "{reason}");
    running.drain().await;
    // The remedy that it names; no event comes meanwhile.
    take_out(&stage).await;
    let of_three = || Settings { cleaner: of_three.clone(), ..self::settings() };
    begins_with_an_empty_state(&stage, of_three, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_let_go_of_is_gone_for_good() {
    for gaps in [Gaps::None, Gaps::ControlRecords] {
        for disk in [None, Some(FaultDisk::new(1))] {
            let stage = Stage::new().await;
            stage.log.set_gaps(gaps);
            let settings = || match &disk {
                Some(disk) => with_snapshots(disk, settings()),
                None => settings(),
            };
            append(&stage, &(0..10).map(event).collect::<Vec<_>>()).await;
            let mut running = stage.process(settings());
            running.until(|status| status.counts.read == 10).await;
            running.drain().await;
            take_out(&stage).await;
            begins_with_an_empty_state(&stage, settings, 10).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_written_stops_nothing() {
    let (stage, disk) = (Stage::new().await, FaultDisk::new(1));
    disk.set_capacity(Some(0));
    let settings = fill(&stage, &disk, 0..5).await;
    let bounds = stage.log.bounds(&stage.cx, &changelog()).await.unwrap();
    assert_eq!(bounds.start.offset, Offset::ZERO);
    append(&stage, &[event(2)]).await;
    let mut running = stage.process(settings);
    assert_eq!(running.until_done(6).await.counts.deduplicated, 1);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn early_evictions_are_shown_and_survive_a_restart() {
    let stage = Stage::new().await;
    append(&stage, &(0..10).map(event).collect::<Vec<_>>()).await;
    let small = || settings_of(dedupe::Config { keys_max: 4, ..config() });
    for sent in [10, 11] {
        let mut running = stage.process(small());
        let status = running.until_done(sent).await;
        let keyed = status.keyed.expect("the task keeps state");
        assert_eq!((keyed.entries, keyed.evicted_early), (5, sent - 4));
        running.drain().await;
        append(&stage, &[event(20)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_keeps_state_needs_a_changelog_and_is_alone() {
    let stage = Stage::new().await;
    let new = |settings| {
        let made = millstream_pipeline::Processor::new(settings, stage.surroundings());
        made.expect_err("it is refused").to_string()
    };
    let without = new(Settings { keeping: None, ..settings() });
    assert_eq!(without, "step 2 keeps state and needs a changelog");
    let mut twice = settings();
    twice.cleaner.steps.push(StepConfig::Dedupe(config()));
    assert_eq!(new(twice), "step 3: a pipeline has one step that keeps state, and it is step 2");
}

/// An event of the model: its id, and by how many seconds it is accepted after the one before.
type Sent = (Option<u8>, u16);

fn cleaner_of(config: dedupe::Config) -> Cleaner {
    let settings = cleaner::Settings {
        pipeline: "test".to_owned(),
        steps: vec![StepConfig::Dedupe(config)],
        schema: None,
        limits: Limits::default(),
        input_partitions: 1,
        output_partitions: 1,
    };
    Cleaner::new(&settings).expect("the step is well-formed")
}

/// Cleans the events in batches, each tried `tries` times before it is committed.
fn verdicts(cleaner: &mut Cleaner, sent: &[Sent], batch_len: usize, tries: usize) -> Vec<String> {
    let mut clean = Vec::new();
    let mut clock = 0;
    let records: Vec<(i64, String)> = (0..)
        .zip(sent)
        .map(|(number, (id, after)): (usize, _)| {
            clock += i64::from(*after) * 1000;
            let id = id.map_or_else(|| "null".to_owned(), |id| format!("\"m{id}\""));
            (clock, format!("{{\"n\":{number},\"message_id\":{id}}}"))
        })
        .collect();
    for batch in records.chunks(batch_len) {
        let mut builder = RecordBatchBuilder::new();
        for (accepted, json) in batch {
            let accepted = Timestamp::from_millis(*accepted);
            builder.push_with(accepted, None, Headers::EMPTY, |out| out.extend(json.as_bytes()));
        }
        let batch = OffsetBatch { first: Offset::ZERO, records: builder.finish() };
        for attempt in 1..=tries {
            cleaner.begin(Timestamp::from_millis(i64::MAX));
            let mut outputs = cleaner.outputs(0);
            cleaner.clean(&partition("events", 0), &batch, &mut outputs);
            cleaner.finish(&mut outputs);
            assert!(outputs.counts.is_balanced());
            if attempt == tries {
                let kept = outputs.clean.remove(0).finish();
                let kept = kept.iter().filter_map(|record| record.value);
                clean.extend(kept.map(|value| String::from_utf8_lossy(value).into_owned()));
                let state = cleaner.state_mut().expect("it keeps state");
                state.committed(None).expect("there is room");
            }
        }
    }
    clean
}

/// What should go on, by looking at everything that ever went on.
fn expected(sent: &[Sent], within: u64) -> Vec<usize> {
    let mut first_seen: BTreeMap<u8, u64> = BTreeMap::new();
    let (mut clock, mut kept) = (0, Vec::new());
    for (number, (id, after)) in sent.iter().enumerate() {
        clock += u64::from(*after);
        let is_new = id.is_none_or(|id| {
            let is_new = first_seen.get(&id).is_none_or(|seen| clock >= seen + within);
            if is_new {
                first_seen.insert(id, clock);
            }
            is_new
        });
        if is_new {
            kept.push(number);
        }
    }
    kept
}

proptest! {
    #[test]
    fn dedupe_is_like_looking_at_everything_that_ever_went_on(
        sent in proptest::collection::vec((proptest::option::of(0..12_u8), 0..40_u16), 0..120),
        batch_len in 1..20_usize,
        tries in 1..3_usize,
    ) {
        let mut cleaner = cleaner_of(config());
        let clean = verdicts(&mut cleaner, &sent, batch_len, tries);
        let number = |json: &String| -> usize {
            let event: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
            usize::try_from(event["n"].as_u64().expect("it has a number")).expect("it is small")
        };
        let numbers: Vec<usize> = clean.iter().map(number).collect();
        prop_assert_eq!(numbers, expected(&sent, 60));
        let books = cleaner.state_mut().expect("it keeps state").committed_books().expect("they are well-formed");
        prop_assert_eq!(books.evicted_early, 0);
        prop_assert!(books.ids <= 12);
    }
}
