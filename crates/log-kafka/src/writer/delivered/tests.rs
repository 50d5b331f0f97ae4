use super::*;

fn range(topic: &str, partition: i32, (first, last): (i64, i64), crc: u32) -> Written {
    Written { topic: topic.to_owned(), partition, first, last, crc }
}

#[test]
fn what_follows_each_other_in_a_partition_is_one_range() {
    let mut delivered = Delivered::default();
    for (place, offset, crc) in [
        (("a", 0), 5, 1),
        (("a", 0), 6, 2),
        (("a", 1), 6, 3),
        (("b", 0), 7, 4),
        (("a", 0), 7, 5),
        // Another producer's batch came in between.
        (("a", 0), 9, 6),
        (("a", 0), 10, 7),
    ] {
        delivered.place(place, offset, crc);
    }
    let wanted = vec![
        range("a", 0, (5, 7), 5),
        range("a", 1, (6, 6), 3),
        range("b", 0, (7, 7), 4),
        range("a", 0, (9, 10), 7),
    ];
    assert_eq!(delivered.into_written(), Ok(wanted));
}

#[test]
fn a_record_without_a_place_is_told_with_its_partition() {
    let mut delivered = Delivered::default();
    delivered.place(("a", 0), 5, 1);
    delivered.place(("a", 3), -1, 1);
    assert_eq!(delivered.into_written(), Err(("a".to_owned(), 3)));
}

#[test]
fn the_first_failure_tells_why() {
    use rdkafka::error::RDKafkaErrorCode as Code;
    let mut delivered = Delivered::default();
    for code in [Code::MessageSizeTooLarge, Code::InvalidDifferentRecord] {
        delivered.fail(&ClientError::MessageProduction(code));
    }
    let failed = delivered.take_failed().and_then(|error| error.rdkafka_error_code());
    assert_eq!(failed, Some(Code::MessageSizeTooLarge));
    assert!(delivered.take_failed().is_none());
}
