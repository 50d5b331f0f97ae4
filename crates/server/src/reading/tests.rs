use std::sync::Arc;
use std::time::Duration;

use millstream_log::memory::{Gaps, MemoryLog};
use millstream_log::{Owner, TopicConfig, TopicKind, Transaction};
use millstream_model::{Record, RecordBatch, RecordBatchBuilder, TaskId, TopicName};
use millstream_runtime::{Clock, Rng};

use super::*;

/// A log with one topic of one partition, each of whose records came in a transaction of its own.
pub(crate) async fn log_with(gaps: Gaps, accepted: &[i64]) -> (Arc<dyn Log>, TopicPartition) {
    let log = MemoryLog::new(Clock::manual(Timestamp::EPOCH), Rng::from_seed(1));
    log.set_gaps(gaps);
    let cx = Context::background();
    let topic = TopicName::new("t").unwrap();
    let retention = Some(Duration::from_secs(60));
    let config = TopicConfig { partitions: 1, kind: TopicKind::Events, retention };
    log.admin().ensure_topic(&cx, &topic, &config).await.unwrap();
    let partition = TopicPartition::new(topic, 0);
    let task = TaskId::new("writer").unwrap();
    let owner = Owner { task, inputs: Vec::new(), renamed_from: None };
    let mut writer = log.open(&cx, &owner).await.unwrap().writer;
    for millis in accepted {
        let records = vec![(partition.clone(), batch(*millis))];
        writer.transact(&cx, Transaction { records, ..Transaction::default() }).await.unwrap();
    }
    (Arc::new(log), partition)
}

fn batch(millis: i64) -> RecordBatch {
    let mut records = RecordBatchBuilder::new();
    let value = format!(r#"{{"at":{millis}}}"#);
    records.push(Record {
        timestamp: Timestamp::from_millis(millis),
        key: None,
        value: Some(value.as_bytes()),
        headers: millstream_model::Headers::EMPTY,
    });
    records.finish()
}

#[tokio::test]
async fn a_time_is_found_whether_offsets_have_gaps_or_not() {
    let cx = Context::background();
    let accepted: Vec<i64> = (0..50).map(|at| at * 10).collect();
    for gaps in [Gaps::None, Gaps::ControlRecords] {
        let (log, partition) = log_with(gaps, &accepted).await;
        for since in [-5, 0, 1, 10, 255, 489, 490, 491] {
            let since = Timestamp::from_millis(since);
            let found = offset_since(&cx, &*log, &partition, since).await.unwrap();
            let (_, mut reader) = reader_near(&cx, &*log, &partition, found).await.unwrap();
            let end = log.bounds(&cx, &partition).await.unwrap().end.offset;
            let first = first_record(&cx, &mut *reader, end).await.unwrap();
            let expected = accepted.iter().find(|at| **at >= since.as_millis()).copied();
            assert_eq!(first.map(|first| first.accepted.as_millis()), expected, "{since} {gaps:?}");
        }
    }
}

#[tokio::test]
async fn a_place_outside_is_brought_to_the_nearest_end() {
    let cx = Context::background();
    let (log, partition) = log_with(Gaps::None, &[1, 2, 3]).await;
    log.admin().trim(&cx, &partition, Offset(1)).await.unwrap();
    for (asked, expected) in [(0, 1), (1, 1), (2, 2), (3, 3), (99, 3)] {
        let (found, _) = reader_near(&cx, &*log, &partition, Offset(asked)).await.unwrap();
        assert_eq!(found, Offset(expected), "{asked}");
    }
}
