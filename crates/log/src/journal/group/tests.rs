//! Small batches share sections, and checksums stay right.

use bytes::Bytes;
use millstream_model::{Offset, PartitionId, TopicName, TopicPartition};

use super::{Runs, SECTION_BYTES_MAX};
use crate::journal::codec::PartitionKey;
use crate::journal::request::Piece;

fn piece(partition: u32, bytes: Vec<u8>, has_crc: bool) -> Piece {
    let crc = has_crc.then(|| crc32c::crc32c(&bytes));
    Piece {
        key: PartitionKey { topic: 1, partition: PartitionId(partition) },
        partition: TopicPartition::new(TopicName::new("events").unwrap(), partition),
        bytes: Bytes::from(bytes),
        count: 2,
        crc,
    }
}

#[test]
fn batches_of_a_partition_are_merged_with_the_checksum_of_their_bytes() {
    let mut runs = Runs::default();
    let pieces = [
        piece(0, vec![1; 100], false),
        piece(1, vec![2; 50], false),
        piece(0, vec![3; 20_000], true),
        piece(0, vec![4; 10], false),
    ];
    for (start, piece) in [0, 0, 2, 4].into_iter().zip(&pieces) {
        runs.push(piece, Offset(start));
    }
    let (sections, bytes) = runs.into_sections();
    let sizes: Vec<_> = sections.iter().map(|section| (section.count, section.bytes)).collect();
    assert_eq!(sizes, [(6, 20_110), (2, 50)]);
    let body = bytes.concat();
    assert_eq!(crc32c::crc32c(&body[..20_110]), sections[0].crc);
    assert_eq!(crc32c::crc32c(&body[20_110..]), sections[1].crc);
}

#[test]
fn sections_stay_small_enough_to_be_read_at_once() {
    let mut runs = Runs::default();
    for number in 0..5_u8 {
        let bytes = vec![number; usize::try_from(SECTION_BYTES_MAX / 2).unwrap()];
        runs.push(&piece(0, bytes, true), Offset(u64::from(number) * 2));
    }
    let (sections, _) = runs.into_sections();
    let bases: Vec<u64> = sections.iter().map(|section| section.base.0).collect();
    assert_eq!(bases, [0, 4, 8]);
}
