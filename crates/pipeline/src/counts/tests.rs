use super::*;

fn counts() -> Counts {
    Counts {
        read: 10,
        written: 6,
        rejected: 3,
        filtered: 2,
        deduplicated: 1,
        created: 1,
        replayed: 1,
    }
}

#[test]
fn counts_come_back_from_their_bytes() {
    assert_eq!(Counts::decode(&counts().encode()), Ok(counts()));
    assert!(counts().is_balanced());
}

/// Version 1, as it was released: these bytes must be readable for ever.
#[test]
fn version_1_is_read() {
    let mut bytes = vec![1];
    for count in [10_u64, 6, 3, 2, 1, 1, 1] {
        bytes.extend_from_slice(&count.to_le_bytes());
    }
    assert_eq!(Counts::decode(&bytes), Ok(counts()));
}

#[test]
fn bytes_that_are_no_counts_are_refused() {
    let mut bytes = counts().encode().to_vec();
    assert_eq!(Counts::decode(&[]), Err(CountsError::Length { found: 0 }));
    assert_eq!(Counts::decode(&bytes[..56]), Err(CountsError::Length { found: 56 }));
    bytes.push(0);
    assert_eq!(Counts::decode(&bytes), Err(CountsError::Length { found: 58 }));
    bytes[0] = 2;
    assert_eq!(Counts::decode(&bytes), Err(CountsError::Version { found: 2 }));
}

#[test]
fn a_task_without_counts_has_counted_nothing() {
    assert_eq!(Counts::of_committed(&Committed::default()), Ok(Counts::default()));
}
