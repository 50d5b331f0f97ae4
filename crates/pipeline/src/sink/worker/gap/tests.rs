use proptest::prelude::*;

use super::super::placement::tests::position;
use super::*;

#[tokio::test]
async fn a_gap_counts_for_the_position_it_was_registered_with_only() {
    let (partition, start) = position(1).await;
    let at = |offset| LogPosition { offset: Offset(offset), ..start };
    let gap = transaction(&partition, at(5), at(7));
    assert_eq!(gap.consumed[0].next, at(7));
    let check = |gap: &Transaction, consumed: u64, expected: u64| {
        let committed = Committed {
            began: true,
            consumed: [(partition.clone(), at(consumed))].into(),
            positions: gap.positions.iter().cloned().collect(),
        };
        assert_eq!(registered(&committed, &partition), Some(at(expected)));
    };
    check(&gap, 7, 5);
    check(&gap, 9, 9);
    check(&Transaction::default(), 7, 7);
    assert_eq!(registered(&Committed::default(), &partition), None);
}

/// Version 1, as it was released: these bytes must be readable for ever.
#[test]
fn a_mark_of_version_1_is_read() {
    let mark = b"\x01\x05\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0";
    assert_eq!(decode(mark), Some((Offset(5), Offset(7))));
}

proptest! {
    #[test]
    fn any_bytes_are_a_mark_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        if let Some((stored, reached)) = decode(&bytes) {
            prop_assert!(stored <= reached && bytes.len() == 17);
        }
    }
}
