//! Indexes survive the way to the disk and back.

use millstream_model::{Incarnation, Offset, PartitionId, Timestamp};

use super::{Directory, ENTRY_BYTES, MemoryIndex, Summary, decode_entries};
use crate::journal::change::Section;
use crate::journal::codec::PartitionKey;

const SUMMARY: Summary = Summary {
    number: 3,
    incarnation: Incarnation(42),
    end: 5000,
    time_last: Timestamp::from_millis(9),
};

fn key(partition: u32) -> PartitionKey {
    PartitionKey { topic: 1, partition: PartitionId(partition) }
}

fn index() -> MemoryIndex {
    let mut index = MemoryIndex::default();
    for number in 0..10_u32 {
        let base = Offset(u64::from(number / 2) * 3);
        let section = Section { key: key(number % 2), base, count: 3, bytes: 100, crc: number };
        index.add(&[section], u64::from(number) * 500);
    }
    index
}

#[test]
fn an_index_is_decoded_as_it_was_encoded() {
    let index = index();
    let bytes = index.encode(SUMMARY);
    let directory = Directory::decode(&bytes).unwrap();
    assert_eq!(directory, index.directory(SUMMARY));
    for partition in 0..2 {
        let listed = directory.partitions[&key(partition)];
        let from = usize::try_from(listed.position).unwrap();
        let to = from + usize::try_from(listed.count).unwrap() * ENTRY_BYTES;
        assert_eq!(crc32c::crc32c(&bytes[from..to]), listed.crc);
        let entries = decode_entries(&bytes[from..to]).unwrap();
        assert_eq!(entries, index.entries_from(key(partition), Offset(0), usize::MAX));
    }
}

#[test]
fn a_damaged_directory_is_refused() {
    let index = index();
    let bytes = index.encode(SUMMARY);
    let len = Directory::bytes_len(&bytes).unwrap();
    for at in 0..len {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert_eq!(Directory::decode(&bytes), None, "byte {at}");
    }
}

#[test]
fn reading_begins_with_the_entry_that_holds_the_offset() {
    let entries = index().entries_from(key(0), Offset(7), 2);
    let bases: Vec<u64> = entries.iter().map(|entry| entry.base.0).collect();
    assert_eq!(bases, [6, 9]);
    assert!(index().entries_from(key(0), Offset(15), 2).is_empty());
}
