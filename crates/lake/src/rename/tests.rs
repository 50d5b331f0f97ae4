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

fn table() -> TableName {
    TableName::new("events").unwrap()
}

fn rename(sinks: &[&str], old: &str, new: &str) -> Result<Option<Standing>, LakeError> {
    renamed(&table(), stands(sinks), Rename { old, new })
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
fn a_name_that_was_given_up_is_not_given_back_by_an_older_rename() {
    let later = rename(&["b"], "b", "c").unwrap().unwrap();
    let stale = renamed(&table(), later.clone(), Rename { old: "a", new: "b" }).unwrap();
    assert_eq!(stale, None);
    let back = renamed(&table(), later, Rename { old: "c", new: "b" }).unwrap().unwrap();
    assert_eq!((back.map.renamed_to("b"), back.map.renamed_to("c")), (None, Some("b")));
}

#[test]
fn a_rename_is_done_once_and_never_over_other_positions() {
    for sinks in [["new"].as_slice(), &[], &["old"]] {
        let done = rename(sinks, "old", "new").unwrap().unwrap();
        assert_eq!(done.map.renamed_to("old"), Some("new"), "{sinks:?}");
        let again = renamed(&table(), done, Rename { old: "old", new: "new" }).unwrap();
        assert_eq!(again, None, "{sinks:?}");
    }
    let refused = rename(&["new", "old"], "old", "new").unwrap_err();
    assert!(refused.to_string().contains("`renamed_from`"), "{refused}");
}
