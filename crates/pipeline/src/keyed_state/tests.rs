use millstream_model::{Incarnation, LogId, Offset, TopicId};

use super::*;

#[test]
fn books_and_marks_come_back_and_other_bytes_are_refused() {
    let books =
        Books { time: Timestamp::from_millis(-3), ids: 5, evicted_early: 7, transactions: 9 };
    assert_eq!(Books::decode(&books.encode()), Some(books));
    assert_eq!(Books::decode(&books.encode()[1..]), None);
    assert_eq!(Books::decode(&[]), None);
    let mark = Mark { partitions: 4, transactions: 1 << 40, since: Offset(7) };
    let bytes = mark.encode();
    assert_eq!(Mark::decode(&bytes), Ok(mark));
    for len in 1..bytes.len() {
        assert_eq!(Mark::decode(&bytes[..len]), Err(MarkError::Length { found: len }));
    }
    assert_eq!(Mark::decode(&[2, 0]), Err(MarkError::Version { found: 2 }));
}

#[test]
fn the_streams_time_never_passes_our_clock() {
    let at = Timestamp::from_millis;
    let mut state = KeyedState::new();
    state.begin(at(1_000));
    assert_eq!(state.observe(at(400)), at(400));
    assert_eq!(state.observe(at(300)), at(400), "it does not run backwards");
    assert_eq!(state.observe(at(4_000_000)), at(1_000), "an event from the future");
    let mut records = RecordBatchBuilder::new();
    state.finish(&mut records);
    state.committed(None).unwrap();
    state.begin(at(900));
    assert_eq!(state.observe(at(10)), at(900), "our clock was set back");
}

#[test]
fn what_is_not_committed_is_dropped_by_the_next_transaction() {
    let (family, key) = (FamilyId(1), Key::from(*b"k"));
    let mut state = KeyedState::new();
    state.begin(Timestamp::EPOCH);
    state.put(family, Key::clone(&key), Entry::new(b"v"));
    state.books_mut().ids = 1;
    assert_eq!(state.get(family, &key), Some(Entry::new(b"v")));
    state.finish(&mut RecordBatchBuilder::new());
    state.begin(Timestamp::EPOCH);
    assert_eq!(state.get(family, &key), None);
    assert_eq!(*state.books_mut(), Books::default());
    assert_eq!(state.position(), None);
}

#[test]
fn ids_are_what_is_there_whatever_the_books_say() {
    let position = LogPosition {
        log: LogId(uuid::Uuid::nil()),
        topic: TopicId(uuid::Uuid::nil()),
        incarnation: Incarnation::NONE,
        offset: Offset(3),
    };
    let books = Books { ids: 1_000_000, transactions: 7, ..Books::default() };
    let mut batch = WriteBatch::new();
    batch.put(BOOKS, Key::from([]), Entry::new(&books.encode()));
    for number in 0..3_u8 {
        batch.put(FamilyId(1), Key::from([number]), Entry::new(&[]));
    }
    let mut state = KeyedState::new();
    state.restored(&batch, position, Timestamp::EPOCH).unwrap();
    state.begin(Timestamp::EPOCH);
    assert_eq!(*state.books_mut(), Books { ids: 3, ..books });
}

#[test]
fn what_is_committed_equals_what_is_read_from_the_changelog() {
    let position = LogPosition {
        log: LogId(uuid::Uuid::nil()),
        topic: TopicId(uuid::Uuid::nil()),
        incarnation: Incarnation::NONE,
        offset: Offset(3),
    };
    let (mut written, mut restored) = (KeyedState::new(), KeyedState::new());
    for round in 0..4_u8 {
        written.begin(Timestamp::from_millis(i64::from(round)));
        let due = Timestamp::from_millis(i64::from(round % 2));
        written.put(FamilyId(1), Key::from([round % 3]), Entry::due_at(&[round], due));
        written.delete(FamilyId(1), Key::from([round / 2]));
        let mut records = RecordBatchBuilder::new();
        written.finish(&mut records);
        written.committed(Some(position)).unwrap();
        let mut batch = WriteBatch::new();
        for record in &records.finish() {
            changelog::Change::decode(record).unwrap().apply_to(&mut batch);
        }
        restored.restored(&batch, position, Timestamp::EPOCH).unwrap();
        assert_eq!(restored.store, written.store);
        assert_eq!(restored.committed_books(), written.committed_books());
    }
    assert_eq!(written.committed_books().unwrap().transactions, 4);
}
