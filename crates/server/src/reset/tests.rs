use millstream_log::memory::MemoryLog;
use millstream_log::{TopicConfig, TopicKind, Transaction};
use millstream_model::RecordBatchBuilder;
use millstream_runtime::{Clock, Rng};

use super::*;

const VALUES: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];

/// A log with one partition of five records, and a task that read two of them.
async fn stage(cx: &Context) -> (MemoryLog, TopicPartition, TaskId) {
    let log = MemoryLog::new(Clock::system(), Rng::from_seed(7));
    let input = TopicPartition::new(TopicName::new("events").unwrap(), 0);
    let config = TopicConfig { partitions: 1, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(cx, &input.topic, &config).await.unwrap();
    let task = TaskId::new("a.b.clean.0").unwrap();
    let owner = Owner { task: task.clone(), inputs: vec![input.clone()], renamed_from: None };
    let mut opened = log.open(cx, &owner).await.unwrap();
    for value in VALUES {
        let mut batch = RecordBatchBuilder::new();
        batch.push(millstream_model::Record {
            timestamp: Clock::system().now(),
            key: None,
            value: Some(value),
            headers: millstream_model::Headers::EMPTY,
        });
        log.enqueue(vec![(input.clone(), batch.finish())]).unwrap().await.unwrap();
    }
    let start = log.bounds(cx, &input).await.unwrap().start;
    let mut reader = log.reader(cx, &input, start).await.unwrap();
    let limits = FetchLimits { bytes_max: 1, wait_max: std::time::Duration::ZERO };
    reader.fetch(cx, limits).await.unwrap();
    let next = reader.fetch(cx, limits).await.unwrap().next;
    let counts = Counts { read: 2, written: 2, ..Counts::default() };
    let consumed = vec![Consumed { partition: input.clone(), next }];
    let positions = vec![(Counts::source_id(), counts.encode())];
    let transaction = Transaction { consumed, positions, ..Transaction::default() };
    opened.writer.transact(cx, transaction).await.unwrap();
    (log, input, task)
}

fn of<'r>(log: &'r MemoryLog, input: &'r TopicPartition, task: &TaskId) -> PipelineReset<'r> {
    let (topic, tasks) = (&input.topic, vec![task.clone()]);
    PipelineReset { log, topic, tasks, place: Place::Beginning }
}

#[tokio::test]
async fn a_task_that_can_go_on_is_left_alone() {
    let cx = Context::background();
    let (log, input, task) = stage(&cx).await;
    assert_eq!(of(&log, &input, &task).plan(&cx).await.unwrap(), []);
}

#[tokio::test]
async fn a_task_whose_records_are_gone_goes_on_behind_the_gap_and_its_books_say_so() {
    let cx = Context::background();
    let (log, input, task) = stage(&cx).await;
    log.release_task(&task);
    log.admin().trim(&cx, &input, Offset(4)).await.unwrap();
    let reset = of(&log, &input, &task);
    let steps = reset.plan(&cx).await.unwrap();
    let [step] = &steps[..] else { panic!("one task is refused: {steps:?}") };
    assert_eq!((step.to.offset, step.skipped(), step.again()), (Offset(4), 2, 0));
    assert!(step.why.contains("tasks reset"), "{}", step.why);
    reset.apply(&cx, &steps).await.unwrap();

    assert_eq!(reset.plan(&cx).await.unwrap(), [], "done is done");
    let committed = log.committed(&cx, &task).await.unwrap().unwrap();
    assert_eq!(committed.consumed[&input].offset, Offset(4));
    assert_eq!(Counts::of_committed(&committed).unwrap().read, 2);
    // Two were read and two skipped: it stands at four.
    assert_eq!(Beginning::of_committed(&committed).unwrap().of(&input), Offset(2));
}
