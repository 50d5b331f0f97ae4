use std::time::Duration;

use millstream_log::memory::{Gaps, MemoryLog};
use millstream_log::{Consumed, Opened, Owner, TopicConfig, TopicKind, Transaction};
use millstream_model::{Headers, Record, RecordBatchBuilder, Timestamp, TopicName};
use millstream_runtime::Rng;

use super::*;
use crate::flow::{FlowPipeline, FlowTopic};

const NOW: i64 = 1_000_000;

fn flow() -> Flow {
    let topic = FlowTopic { name: "t".to_owned(), partitions: 1 };
    let pipeline = FlowPipeline {
        name: "p".to_owned(),
        from: "t".to_owned(),
        to: "u".to_owned(),
        dead_letters: "d".to_owned(),
    };
    Flow { topics: vec![topic], pipelines: vec![pipeline], ..Flow::default() }
}

fn input() -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), 0)
}

async fn new_log(gaps: Gaps) -> (Arc<dyn Log>, Clock) {
    let (log, clock) = new_memory_log(gaps).await;
    (Arc::new(log), clock)
}

async fn new_memory_log(gaps: Gaps) -> (MemoryLog, Clock) {
    let clock = Clock::manual(Timestamp::from_millis(NOW));
    let log = MemoryLog::new(clock.clone(), Rng::from_seed(1));
    log.set_gaps(gaps);
    ensure_topic(&log).await;
    (log, clock)
}

async fn ensure_topic(log: &MemoryLog) {
    let config = TopicConfig { partitions: 1, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(&Context::background(), &input().topic, &config).await.unwrap();
}

async fn append(log: &Arc<dyn Log>, accepted: &[i64]) {
    let mut records = RecordBatchBuilder::new();
    for millis in accepted {
        let timestamp = Timestamp::from_millis(*millis);
        records.push(Record { timestamp, key: None, value: Some(b"{}"), headers: Headers::EMPTY });
    }
    let task = TaskId::new("writer").unwrap();
    let owner = Owner { task, inputs: Vec::new(), renamed_from: None };
    let cx = Context::background();
    let mut writer = log.open(&cx, &owner).await.unwrap().writer;
    let records = vec![(input(), records.finish())];
    writer.transact(&cx, Transaction { records, ..Transaction::default() }).await.unwrap();
}

/// Commits that a task has read so far.
async fn consume(log: &Arc<dyn Log>, task: TaskId, offset: u64) {
    let cx = Context::background();
    let owner = Owner { task, inputs: vec![input()], renamed_from: None };
    let Opened { mut writer, .. } = log.open(&cx, &owner).await.unwrap();
    let start = log.bounds(&cx, &input()).await.unwrap().start;
    let mut reader = log.reader(&cx, &input(), start).await.unwrap();
    let limits = millstream_log::FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };
    let mut next = start;
    while next.offset.0 < offset {
        next = reader.fetch(&cx, limits).await.unwrap().next;
    }
    let consumed = vec![Consumed { partition: input(), next }];
    writer.transact(&cx, Transaction { consumed, ..Transaction::default() }).await.unwrap();
}

async fn rows(log: &Arc<dyn Log>, clock: &Clock) -> Vec<LagRow> {
    let flow = flow();
    let asked = Asked { log: Arc::clone(log), spool: None, flow: &flow };
    let rows = list(&Context::background(), asked, clock.clone()).await.unwrap();
    rows.into_iter().filter(|row| row.task != "writer").collect()
}

/// What is known of a row: position, end, lag and delay.
fn places(row: &LagRow) -> (u64, u64, u64, Option<u64>) {
    assert_eq!(row.unknown, None);
    (row.next.unwrap(), row.end.unwrap(), row.lag.unwrap(), row.delay_ms)
}

fn pipeline_task() -> TaskId {
    flow().pipelines[0].task(0)
}

#[tokio::test]
async fn the_delay_is_the_age_of_the_first_record_that_is_not_read() {
    let (log, clock) = new_log(Gaps::None).await;
    let [row] = &rows(&log, &clock).await[..] else { panic!() };
    assert_eq!(places(row), (0, 0, 0, Some(0)));

    append(&log, &[NOW - 9_000, NOW - 5_000, NOW - 1_000]).await;
    let [row] = &rows(&log, &clock).await[..] else { panic!() };
    assert_eq!(places(row), (0, 3, 3, Some(9_000)), "a task that never began");

    consume(&log, pipeline_task(), 1).await;
    let [row] = &rows(&log, &clock).await[..] else { panic!() };
    assert_eq!(places(row), (1, 3, 2, Some(5_000)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(rows(&log, &clock).await[0].delay_ms, Some(6_000));

    consume(&log, pipeline_task(), 3).await;
    let [row] = &rows(&log, &clock).await[..] else { panic!() };
    assert_eq!(places(row), (3, 3, 0, Some(0)));
    assert_eq!(row.unit, Unit::Records);
}

#[tokio::test]
async fn a_position_that_the_log_refuses_is_no_lag_of_zero() {
    let (log, clock) = new_memory_log(Gaps::None).await;
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    append(&shared, &[NOW - 2_000, NOW]).await;
    consume(&shared, pipeline_task(), 2).await;
    log.delete_topic(&input().topic);
    ensure_topic(&log).await;
    let [row] = &rows(&shared, &clock).await[..] else { panic!() };
    let problem = row.problem.as_ref().expect("the topic is another one");
    assert!(problem.contains("tasks reset"), "{problem}");
    assert_eq!(row.delay_ms, None);
}

#[tokio::test]
async fn control_records_alone_are_no_lag() {
    let (log, clock) = new_log(Gaps::ControlRecords).await;
    append(&log, &[NOW]).await;
    consume(&log, pipeline_task(), 1).await;
    let end = log.bounds(&Context::background(), &input()).await.unwrap().end.offset.0;
    assert!(end > 1, "the transaction left a control record");
    let [row] = &rows(&log, &clock).await[..] else { panic!() };
    assert_eq!((row.lag, row.delay_ms, row.unit), (Some(0), Some(0), Unit::Offsets));
}

#[tokio::test]
async fn a_task_that_left_the_configuration_is_named() {
    let (log, clock) = new_log(Gaps::None).await;
    append(&log, &[NOW - 2_000, NOW]).await;
    consume(&log, TaskId::new("millstream.old.clean.0").unwrap(), 1).await;
    let rows = rows(&log, &clock).await;
    let orphan = rows.iter().find(|row| row.role == "orphan").unwrap();
    assert_eq!((orphan.task.as_str(), orphan.lag), ("millstream.old.clean.0", Some(1)));
}

#[tokio::test]
async fn a_log_that_is_away_spoils_no_row_of_another() {
    let (spool, clock) = new_log(Gaps::None).await;
    append(&spool, &[NOW - 2_000]).await;
    let cluster = crate::logs::ClusterLog::new(millstream_log_kafka::Config::default());
    let flow = Flow { collected: "t".to_owned(), ..flow() };
    let asked = Asked { log: Arc::new(cluster), spool: Some(spool), flow: &flow };
    let rows = list(&Context::background(), asked, clock).await.unwrap();
    let [spool, clean] = &rows[..] else { panic!("{} rows", rows.len()) };
    assert_eq!((spool.task.as_str(), spool.role.as_str()), ("millstream.spool.t.0", "spool"));
    assert_eq!(places(spool), (0, 1, 1, Some(2_000)));
    assert_eq!((clean.next, clean.lag, clean.delay_ms), (None, None, None));
    assert!(clean.unknown.as_ref().unwrap().contains("not reached"), "{:?}", clean.unknown);
}

#[test]
fn a_task_takes_the_state_of_its_own_name_or_of_the_name_it_shares() {
    let row = |task: &str, partition| LagRow {
        task: task.to_owned(),
        role: "sink".to_owned(),
        state: None,
        topic: "t".to_owned(),
        partition,
        next: Some(0),
        end: Some(0),
        lag: Some(0),
        unit: Unit::Records,
        delay_ms: Some(0),
        problem: None,
        unknown: None,
    };
    let status = |task: &str, state: &str, partition: u32| -> TaskRow {
        let counts = serde_json::to_value(crate::accounting::Tally::default()).unwrap();
        let input =
            serde_json::json!({ "topic": "t", "partition": partition, "next": 0, "end": 0 });
        let row = serde_json::json!({
            "task": task, "state": state, "lag": 0, "inputs": [input], "counts": counts,
        });
        serde_json::from_value(row).unwrap()
    };
    let rows = vec![row("m.p.clean.0", 0), row("m.s.sink.1", 1), row("m.s.sink.2", 2)];
    let tasks = [status("m.p.clean.0", "idle", 0), status("m.s.sink", "running", 1)];
    let states: Vec<Option<String>> =
        with_states(rows, &tasks).into_iter().map(|row| row.state).collect();
    assert_eq!(states, [Some("idle".to_owned()), Some("running".to_owned()), None]);
}
