use millstream_log::Log as _;
use millstream_log::memory::MemoryLog;
use millstream_log::{TopicConfig, TopicKind};
use millstream_model::{Timestamp, TopicName};
use millstream_runtime::{Clock, Context, Rng};

use super::*;

/// A partition and a position in it, of a log with this seed.
pub(in super::super) async fn position(seed: u64) -> (TopicPartition, LogPosition) {
    let (cx, clock) = (Context::background(), Clock::manual(Timestamp::EPOCH));
    let log = MemoryLog::new(clock, Rng::from_seed(seed));
    let name = TopicName::new("clean").unwrap();
    let config = TopicConfig { partitions: 1, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(&cx, &name, &config).await.unwrap();
    let partition = TopicPartition::new(name, 0);
    let bounds = log.bounds(&cx, &partition).await.unwrap();
    (partition, bounds.start)
}

#[tokio::test]
async fn the_sink_decides_and_contradictions_are_refused() {
    let (partition, start) = position(1).await;
    let at = |offset| LogPosition { offset: Offset(offset), ..start };
    let check = |registered: Option<LogPosition>, stored: Option<LogPosition>| {
        let consumed = registered.map(|next| (partition.clone(), next)).into_iter().collect();
        let committed = Committed { consumed, began: registered.is_some(), ..Committed::default() };
        let stored = stored.map(|next| SinkPosition {
            partition: partition.clone(),
            next,
            rows: 0,
            rejected: 0,
        });
        place(&partition, &committed, stored.as_ref(), start)
    };
    assert_eq!(check(None, None), Ok(start));
    assert_eq!(check(None, Some(at(7))), Ok(at(7)));
    assert_eq!(check(Some(at(5)), Some(at(7))), Ok(at(7)));
    assert_eq!(check(Some(at(7)), Some(at(7))), Ok(at(7)));
    assert!(matches!(check(Some(at(8)), Some(at(7))), Err(PlacementError::SetBack { .. })));
    assert!(matches!(check(Some(at(8)), None), Err(PlacementError::Lost { .. })));
    // Another log's position is not compared: the log itself refuses it.
    let (_, foreign) = position(2).await;
    assert_eq!(check(Some(at(8)), Some(foreign)), Ok(foreign));
}
