use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn fixture_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("test-data/changelog/v1.records")
}

/// The changes of the committed fixture.
fn fixture() -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(FamilyId(0), b"clock"[..].into(), Entry::new(b"\x01\x02\x03"));
    batch.put(FamilyId(1), b"seen"[..].into(), Entry::due_at(b"", Timestamp::from_millis(-5)));
    batch.put(FamilyId(1), b""[..].into(), Entry::due_at(b"v", Timestamp::from_millis(1 << 41)));
    batch.delete(FamilyId(258), b"gone"[..].into());
    batch
}

fn encoded(batch: &WriteBatch) -> millstream_model::RecordBatch {
    let mut records = RecordBatchBuilder::new();
    encode(batch, Timestamp::from_millis(7), &mut records);
    records.finish()
}

fn decoded(records: &millstream_model::RecordBatch) -> Result<WriteBatch, ChangelogError> {
    let mut batch = WriteBatch::new();
    for record in records {
        Change::decode(record)?.apply_to(&mut batch);
    }
    Ok(batch)
}

#[test]
fn the_stored_fixture_reads_and_is_what_is_written_today() {
    let records = encoded(&fixture());
    if std::env::var_os("MILLSTREAM_WRITE_FIXTURE").is_some() {
        std::fs::create_dir_all(fixture_path().parent().unwrap()).unwrap();
        std::fs::write(fixture_path(), records.as_bytes()).unwrap();
    }
    let stored = std::fs::read(fixture_path()).unwrap();
    assert_eq!(stored, records.as_bytes().as_ref());
    let stored = millstream_model::RecordBatch::decode(stored.into(), 4).unwrap();
    assert_eq!(decoded(&stored), Ok(fixture()));
}

#[test]
fn what_is_no_change_is_told_apart() {
    let check = |key: Option<&[u8]>, value: Option<&[u8]>, expected| {
        let (timestamp, headers) = (Timestamp::EPOCH, Headers::EMPTY);
        assert_eq!(Change::decode(Record { timestamp, key, value, headers }), Err(expected));
    };
    check(None, None, ChangelogError::Key);
    check(Some(b"\0"), None, ChangelogError::Key);
    check(Some(b"\0\0"), Some(b""), ChangelogError::Value);
    check(Some(b"\0\0"), Some(b"\x02"), ChangelogError::Version { found: 2 });
    check(Some(b"\0\0"), Some(b"\x01\x02"), ChangelogError::Value);
    check(Some(b"\0\0"), Some(b"\x01\x01\0\0\0"), ChangelogError::Value);
}

proptest! {
    #[test]
    fn every_batch_comes_back(
        changes in proptest::collection::vec(
            (any::<u16>(), any::<Vec<u8>>(), proptest::option::of((any::<Vec<u8>>(), any::<Option<i64>>()))),
            0..20,
        )
    ) {
        let mut batch = WriteBatch::new();
        for (family, key, entry) in changes {
            let (family, key) = (FamilyId(family), Key::from(key));
            match entry {
                Some((value, due)) => {
                    let due = due.map(Timestamp::from_millis);
                    batch.put(family, key, Entry { value: value.into(), due });
                }
                None => batch.delete(family, key),
            }
        }
        prop_assert_eq!(decoded(&encoded(&batch)), Ok(batch));
    }
}
