use std::sync::Arc;

use millstream_log::memory::MemoryLog;
use millstream_log::{Consumed, Owner, TopicConfig, TopicKind, Transaction};
use millstream_model::{
    Headers, Record, RecordBatch, RecordBatchBuilder, Timestamp, TopicName, TopicPartition,
};
use millstream_runtime::{Clock, Rng};

use super::*;
use crate::config::Config;

fn batch(records: usize) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new();
    for _ in 0..records {
        let timestamp = Timestamp::from_millis(1);
        builder.push(Record {
            timestamp,
            key: None,
            value: Some(b"x"),
            headers: Headers::default(),
        });
    }
    builder.finish()
}

#[tokio::test]
async fn a_task_that_no_pipeline_and_no_sink_has_is_named_with_what_it_holds() {
    let cx = Context::background();
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Clock::system(), Rng::from_seed(1)));
    let topic = TopicName::new("events").unwrap();
    let config = TopicConfig { partitions: 4, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(&cx, &topic, &config).await.unwrap();
    let flow = Flow::of(&Config::quickstart());
    let open = async |task: &str, partition: u32| {
        let inputs = vec![TopicPartition::new(topic.clone(), partition)];
        let owner = Owner { task: TaskId::new(task).unwrap(), inputs, renamed_from: None };
        log.open(&cx, &owner).await.unwrap()
    };
    open("millstream.events.clean.0", 0).await;
    assert_eq!(look(&cx, &*log, &flow, "7 d").await.unwrap(), []);

    for partition in [0, 1] {
        let of = TopicPartition::new(topic.clone(), partition);
        log.enqueue(vec![(of.clone(), batch(5))]).unwrap().await.unwrap();
        let mut opened = open(&format!("millstream.gone.sink.{partition}"), partition).await;
        let bounds = log.bounds(&cx, &of).await.unwrap();
        let next = if partition == 0 { bounds.end } else { bounds.start };
        let consumed = vec![Consumed { partition: of, next }];
        let transaction = Transaction { consumed, ..Transaction::default() };
        opened.writer.transact(&cx, transaction).await.unwrap();
    }
    let orphans = look(&cx, &*log, &flow, "7 d").await.unwrap();
    let expected = Orphan {
        task: "millstream.gone.sink".to_owned(),
        tasks: 2,
        topics: BTreeSet::from(["events".to_owned()]),
        records: 5,
        hold: "7 d".to_owned(),
    };
    assert_eq!(orphans, [expected]);
    let reason = orphans[0].reason();
    assert!(reason.contains("millstream.gone.sink left the configuration"), "{reason}");
    assert!(reason.contains("5 records of events until the node has run for 7 d"), "{reason}");
}
