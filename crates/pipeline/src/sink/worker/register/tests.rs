use super::*;

fn committed(mark: Option<(SourceId, Bytes)>) -> Committed {
    Committed { positions: mark.into_iter().collect(), ..Committed::default() }
}

#[test]
fn a_mark_says_how_far_dead_letters_are_written() {
    let marked = committed(Some(Mark::write(Offset(7), &CommitId("a-1".to_owned()))));
    assert_eq!(Mark::read(&marked), Offset(7));
    assert_eq!(Mark::read(&committed(None)), Offset::ZERO);
}

/// Version 1, as it was released: these bytes must be readable for ever.
#[test]
fn a_mark_of_version_1_is_read_and_damage_means_not_written() {
    let bytes = b"\x01\x07\0\0\0\0\0\0\0a-1";
    let read = |bytes: &'static [u8]| {
        let mark = (Mark::source_id(), Bytes::from_static(bytes));
        Mark::read(&committed(Some(mark)))
    };
    assert_eq!(read(bytes), Offset(7));
    assert_eq!(read(&bytes[..5]), Offset::ZERO);
    assert_eq!(read(b""), Offset::ZERO);
}
