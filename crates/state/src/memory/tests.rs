use millstream_model::{Incarnation, LogId, Offset, TopicId};
use uuid::Uuid;

use super::*;

const FAMILY: FamilyId = FamilyId(1);

fn batch(writes: &[(&[u8], Option<&[u8]>)]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (key, value) in writes {
        match value {
            Some(value) => batch.put(FAMILY, (*key).into(), Entry::new(value)),
            None => batch.delete(FAMILY, (*key).into()),
        }
    }
    batch
}

#[test]
fn a_batch_beyond_the_bound_changes_nothing_and_one_that_shrinks_is_taken() {
    let one = bytes_of(b"a", &Entry::new(b"1"));
    let mut store = MemoryStore::new(2 * one);
    store.commit(&batch(&[(b"a", Some(b"1")), (b"b", Some(b"1"))]), None).unwrap();
    let before = store.clone();
    let error = store.commit(&batch(&[(b"c", Some(b"1"))]), None).unwrap_err();
    let StoreError::Full { bytes, bytes_max } = error else { panic!("{error}") };
    assert_eq!((bytes, bytes_max), (3 * one, 2 * one));
    assert_eq!(store, before);
    store.commit(&batch(&[(b"a", None), (b"c", Some(b"1"))]), None).unwrap();
    assert_eq!(store.info().bytes, 2 * one);

    store.bytes_max = one / 2;
    store.commit(&batch(&[(b"b", None)]), None).unwrap();
    assert_eq!(store.info().entries, 1);
}

#[test]
fn the_position_moves_with_a_batch_or_stays() {
    let position = LogPosition {
        log: LogId(Uuid::from_u128(1)),
        topic: TopicId(Uuid::from_u128(2)),
        incarnation: Incarnation(3),
        offset: Offset(4),
    };
    let mut store = MemoryStore::new(u64::MAX);
    assert_eq!(store.info().position, None);
    store.commit(&batch(&[(b"a", Some(b"1"))]), Some(position)).unwrap();
    store.commit(&batch(&[(b"b", Some(b"1"))]), None).unwrap();
    assert_eq!(store.info().position, Some(position));
}
