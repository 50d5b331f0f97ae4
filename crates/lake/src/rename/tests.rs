use millstream_model::{LogId, TopicId, TopicName};
use uuid::Uuid;

use super::*;
use crate::position::SinkPositions;

fn stands(sinks: &[&str]) -> Standing {
    let mut standing = Standing { commit: Some(Uuid::from_u128(1)), ..Standing::default() };
    for (number, sink) in (0..).zip(sinks) {
        let positions = SinkPositions {
            log: LogId(Uuid::from_u128(number)),
            topic: TopicName::new("clean").unwrap(),
            topic_id: TopicId(Uuid::from_u128(number)),
            partitions: [].into(),
        };
        standing.map.sinks.insert((*sink).to_owned(), positions);
        standing.rejected.insert((*sink).to_owned(), [].into());
    }
    standing
}

fn rename(sinks: &[&str], old: &str, new: &str) -> Result<Option<Standing>, LakeError> {
    renamed(&TableName::new("events").unwrap(), stands(sinks), Rename { old, new })
}

#[test]
fn positions_and_rejections_move_and_the_rest_stays() {
    let moved = rename(&["b", "old"], "old", "new").unwrap().unwrap();
    let (before, names) = (stands(&["b", "old"]), ["b", "new"]);
    assert!(moved.map.sinks.keys().eq(names), "{:?}", moved.map);
    assert!(moved.rejected.keys().eq(names), "{:?}", moved.rejected);
    assert_eq!(moved.map.sinks["new"], before.map.sinks["old"]);
    assert_eq!((moved.commit, moved.map.sequence), (before.commit, before.map.sequence));
}

#[test]
fn a_rename_is_done_once_and_never_over_other_positions() {
    assert_eq!(rename(&["new"], "old", "new").unwrap(), None);
    assert_eq!(rename(&[], "old", "new").unwrap(), None);
    let refused = rename(&["new", "old"], "old", "new").unwrap_err();
    assert!(refused.to_string().contains("`renamed_from`"), "{refused}");
}
