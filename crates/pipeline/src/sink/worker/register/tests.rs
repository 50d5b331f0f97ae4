use super::*;

fn committed(mark: Option<(SourceId, Bytes)>) -> Committed {
    Committed { positions: mark.into_iter().collect(), ..Committed::default() }
}

#[test]
fn a_mark_counts_for_its_own_commit_only() {
    let (ours, other) = (CommitId("a-1".to_owned()), CommitId("a-12".to_owned()));
    let marked = committed(Some(Mark::write(Offset(7), &ours)));
    assert_eq!(Mark::read(&marked, &ours), Offset(7));
    assert_eq!(Mark::read(&marked, &other), Offset::ZERO);
    assert_eq!(Mark::read(&committed(None), &ours), Offset::ZERO);
}

/// Version 1, as it was released: these bytes must be readable for ever.
#[test]
fn a_mark_of_version_1_is_read_and_damage_means_not_written() {
    let bytes = b"\x01\x07\0\0\0\0\0\0\0a-1";
    let read = |bytes: &'static [u8]| {
        let mark = (Mark::source_id(), Bytes::from_static(bytes));
        Mark::read(&committed(Some(mark)), &CommitId("a-1".to_owned()))
    };
    assert_eq!(read(bytes), Offset(7));
    assert_eq!(read(&bytes[..5]), Offset::ZERO);
    assert_eq!(read(b""), Offset::ZERO);
}
