//! Leader epochs in lists of partitions: what a position has beyond its offset.

#![expect(unsafe_code, reason = "calls into librdkafka; see docs/decisions/0014")]

use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaError as ClientError;
use rdkafka_sys as sys;

use super::native::{c_text, slice_of};
use super::request::check;

/// Sets the leader epoch of a partition that is in the list; -1 for none.
pub(crate) fn set_leader_epoch(
    list: &mut TopicPartitionList,
    topic: &str,
    partition: i32,
    epoch: i32,
) {
    if let Some(found) = find(list, topic, partition) {
        // SAFETY: an element of the list, which nobody else has while it is borrowed.
        unsafe { sys::rd_kafka_topic_partition_set_leader_epoch(found, epoch) }
    }
}

/// Returns the leader epoch of a partition in the list; `None` when it is not there or has none.
pub(crate) fn leader_epoch(list: &TopicPartitionList, topic: &str, partition: i32) -> Option<i32> {
    let found = find(list, topic, partition)?;
    // SAFETY: an element of the list.
    let epoch = unsafe { sys::rd_kafka_topic_partition_get_leader_epoch(found) };
    (epoch >= 0).then_some(epoch)
}

/// Returns the text beside the offset of a partition in the list, as whoever committed it wrote it:
/// the wrapper takes it for UTF-8, and panics otherwise.
pub(crate) fn metadata<'l>(list: &'l TopicPartitionList, topic: &str, partition: i32) -> &'l [u8] {
    let Some(found) = find(list, topic, partition) else { return &[] };
    // SAFETY: an element of the list, which is borrowed.
    let element = unsafe { &*found };
    // SAFETY: as many bytes as the element says, alive as long as the list, which nobody changes.
    unsafe { slice_of(element.metadata.cast::<u8>(), element.metadata_size) }
}

fn find(
    list: &TopicPartitionList,
    topic: &str,
    partition: i32,
) -> Option<*mut sys::rd_kafka_topic_partition_t> {
    let topic = c_text(topic);
    // SAFETY: list and name are alive.
    let found =
        unsafe { sys::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition) };
    (!found.is_null()).then_some(found)
}

/// Sets the offset of every element, past the wrapper's meaning of offsets below zero.
pub(super) fn set_raw_offset(list: &mut TopicPartitionList, offset: i64) {
    for index in 0..list.count() {
        // SAFETY: the list is alive and borrowed by us alone.
        let elements = unsafe { (*list.ptr()).elems };
        // SAFETY: below the number of elements.
        let element = unsafe { elements.add(index) };
        // SAFETY: an element of the list.
        unsafe { (*element).offset = offset };
    }
}

/// Returns the first error that an answer gives for a partition.
///
/// # Safety
/// `list` is null or a list that is alive.
pub(super) unsafe fn first_error(
    list: *const sys::rd_kafka_topic_partition_list_t,
) -> Result<(), ClientError> {
    // SAFETY: the caller vouches for it.
    let Some(list) = (unsafe { list.as_ref() }) else { return Ok(()) };
    let count = usize::try_from(list.cnt).unwrap_or(0);
    // SAFETY: as many elements as the list says.
    let elements = unsafe { slice_of(list.elems, count) };
    elements.iter().try_for_each(|element| check(element.err))
}
