use proptest::prelude::*;

use super::*;

fn positions() -> impl Strategy<Value = Position> {
    let refusal = (any::<u64>(), ".{0,1100}")
        .prop_map(|(offset, reason)| Refusal::new(Offset(offset), &reason));
    let refusals = proptest::collection::vec(refusal, 0..=REFUSALS_MAX);
    let next = any::<(u128, u128, u64, u64)>().prop_map(|(log, topic, incarnation, offset)| {
        let (log, topic) = (LogId(Uuid::from_u128(log)), TopicId(Uuid::from_u128(topic)));
        LogPosition { log, topic, incarnation: Incarnation(incarnation), offset: Offset(offset) }
    });
    (next, any::<(u32, u64, u64)>(), refusals).prop_map(
        |(next, (checksum, forwarded, refused), refusals)| Position {
            next,
            checksum,
            forwarded,
            refused,
            refusals,
        },
    )
}

proptest! {
    #[test]
    fn a_position_comes_back_from_its_bytes_and_fits_the_log(position in positions()) {
        let bytes = position.encode();
        prop_assert!(bytes.len() <= millstream_model::position::SOURCE_POSITION_BYTES_MAX);
        prop_assert_eq!(Position::decode(&bytes), Ok(position));
    }

    #[test]
    fn cut_or_longer_bytes_are_refused(position in positions(), cut in any::<prop::sample::Index>()) {
        let mut bytes = position.encode().to_vec();
        prop_assert!(Position::decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(Position::decode(&bytes).is_err());
    }

    #[test]
    fn whatever_is_decoded_is_what_would_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        if let Ok(position) = Position::decode(&bytes) {
            prop_assert_eq!(position.encode(), bytes);
        }
    }
}

#[test]
fn a_newer_version_is_named() {
    assert_eq!(Position::decode(&[2]), Err(PositionError::Version { found: 2 }));
    assert_eq!(Position::decode(&[]), Err(PositionError::Damaged { at: 0 }));
}

#[test]
fn no_bytes_stand_for_nothing_forwarded() {
    let mut committed = Committed::default();
    assert_eq!(Position::of_committed(&committed), Ok(None));
    committed.positions.insert(Position::source_id(), Bytes::new());
    assert_eq!(Position::of_committed(&committed), Ok(None));
}
