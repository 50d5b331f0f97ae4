//! What an administrator asks: topics with their ids, offsets with their epochs, configuration.

#![expect(unsafe_code, reason = "calls into librdkafka; see docs/decisions/0014")]

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::NativeClient;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use rdkafka_sys as sys;
use sys::rd_kafka_IsolationLevel_t as Level;
use sys::rd_kafka_OffsetSpec_t as Spec;
use sys::rd_kafka_admin_op_t as Operation;
use uuid::Uuid;

use super::native::{Owned, c_text, slice_of, text_of};
use super::request::{Request, check};
use crate::client::Isolation;

/// What the brokers say about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) id: Uuid,
    pub(crate) partitions: u32,
}

/// Describes topics, in the order asked; `None` for what does not exist.
pub(crate) fn describe_topics(
    client: &NativeClient,
    names: &[&str],
    time_max: Duration,
) -> Result<Vec<Option<Described>>, ClientError> {
    let request = Request::new(client, Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, time_max)?;
    let texts: Vec<_> = names.iter().map(|name| c_text(name)).collect();
    let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
    // SAFETY: as many texts as told, which live during the call: it copies them.
    let topics = unsafe {
        sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len())
    };
    // SAFETY: just made, and nobody else has it.
    let topics = unsafe { Owned::new(topics, sys::rd_kafka_TopicCollection_destroy) };
    let topics = topics.ok_or_else(no_memory)?;
    // SAFETY: all four are alive; the call copies topics and options.
    unsafe {
        sys::rd_kafka_DescribeTopics(
            client.ptr(),
            topics.as_ptr(),
            request.options(),
            request.queue(),
        );
    }
    let answer = request.answer()?;
    // SAFETY: the answer is alive and of this kind.
    let result = unsafe { sys::rd_kafka_event_DescribeTopics_result(answer.as_ptr()) };
    let mut count = 0;
    // SAFETY: the result lives as long as the answer.
    let found = unsafe { sys::rd_kafka_DescribeTopics_result_topics(result, &mut count) };
    // SAFETY: as many pointers as the call said, alive as long as the answer.
    let found = unsafe { slice_of(found, count) };
    let mut by_name = BTreeMap::new();
    for topic in found {
        let (name, described) = described(*topic)?;
        by_name.insert(name, described);
    }
    Ok(names.iter().map(|name| by_name.remove(*name).flatten()).collect())
}

/// Reads one topic of an answer that is alive.
fn described(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<(String, Option<Described>), ClientError> {
    // SAFETY: the topic is alive.
    let name = unsafe { sys::rd_kafka_TopicDescription_name(topic) };
    // SAFETY: a text of the topic's.
    let name = unsafe { text_of(name) };
    // SAFETY: the topic is alive.
    let error = unsafe { sys::rd_kafka_TopicDescription_error(topic) };
    // SAFETY: an error of the topic's; null means none.
    let code = unsafe { sys::rd_kafka_error_code(error) };
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => {}
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            return Ok((name, None));
        }
        code => return Err(ClientError::AdminOp(code)),
    }
    // SAFETY: the topic is alive.
    let id = unsafe { sys::rd_kafka_TopicDescription_topic_id(topic) };
    // SAFETY: the id lives as long as the topic.
    let most = unsafe { sys::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: the id lives as long as the topic.
    let least = unsafe { sys::rd_kafka_Uuid_least_significant_bits(id) };
    let id = Uuid::from_u64_pair(most.cast_unsigned(), least.cast_unsigned());
    let mut partitions = 0;
    // SAFETY: the topic is alive; only the number is used.
    unsafe { sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions) };
    let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
    Ok((name, Some(Described { id, partitions })))
}

/// An offset and the leader epoch that belongs to it; -1: the broker named none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochOffset {
    pub(crate) offset: u64,
    pub(crate) epoch: i32,
}

/// Returns the first offset of a partition and its end, as readers of that kind see it.
pub(crate) fn list_offsets(
    client: &NativeClient,
    of: (&str, i32),
    isolation: Isolation,
    time_max: Duration,
) -> Result<(EpochOffset, EpochOffset), ClientError> {
    let send = |spec: Spec| ask_offset(client, of, (isolation, spec as i64), time_max);
    // Both are on their way before the first answer is awaited.
    let start = send(Spec::RD_KAFKA_OFFSET_SPEC_EARLIEST)?;
    let end = send(Spec::RD_KAFKA_OFFSET_SPEC_LATEST)?;
    Ok((named(listed(start)?)?, named(listed(end)?)?))
}

/// What brokers say where no record has the time that was asked for, or a later one.
const NO_SUCH_OFFSET: i64 = -1;

/// Returns the first offset that readers of committed records see and whose record has this time,
/// in milliseconds, or a later one; `None` when there is none.
pub(crate) fn offset_at(
    client: &NativeClient,
    of: (&str, i32),
    millis: i64,
    time_max: Duration,
) -> Result<Option<u64>, ClientError> {
    // Below zero the number would not be a time.
    let asked = (Isolation::Committed, millis.max(0));
    match listed(ask_offset(client, of, asked, time_max)?)? {
        (NO_SUCH_OFFSET, _) => Ok(None),
        found => Ok(Some(named(found)?.offset)),
    }
}

/// Asks for one offset of a partition; `spec` is one of [`Spec`], or a time in milliseconds.
fn ask_offset(
    client: &NativeClient,
    (topic, partition): (&str, i32),
    (isolation, spec): (Isolation, i64),
    time_max: Duration,
) -> Result<Request, ClientError> {
    let level = match isolation {
        Isolation::Committed => Level::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        Isolation::Uncommitted => Level::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
    };
    let operation = Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    let request = Request::new(client, operation, time_max)?.isolated(level)?;
    let mut asked = TopicPartitionList::with_capacity(1);
    asked.add_partition_offset(topic, partition, Offset::Offset(0))?;
    super::partition_list::set_raw_offset(&mut asked, spec);
    // SAFETY: all four are alive; the call copies list and options.
    unsafe {
        sys::rd_kafka_ListOffsets(client.ptr(), asked.ptr(), request.options(), request.queue());
    }
    Ok(request)
}

/// Returns the offset and the leader epoch that an answer names.
fn listed(request: Request) -> Result<(i64, i32), ClientError> {
    let answer = request.answer()?;
    // SAFETY: the answer is alive and of this kind.
    let result = unsafe { sys::rd_kafka_event_ListOffsets_result(answer.as_ptr()) };
    let mut count = 0;
    // SAFETY: the result lives as long as the answer.
    let infos = unsafe { sys::rd_kafka_ListOffsets_result_infos(result, &mut count) };
    // SAFETY: as many pointers as the call said, alive as long as the answer.
    let infos = unsafe { slice_of(infos, count) };
    let info = infos.first().ok_or(ClientError::AdminOp(RDKafkaErrorCode::UnknownPartition))?;
    // SAFETY: the info lives as long as the answer.
    let found = unsafe { sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info) };
    // SAFETY: a partition of the info's, never null.
    let partition = unsafe { &*found };
    check(partition.err)?;
    // SAFETY: the same partition.
    let epoch = unsafe { sys::rd_kafka_topic_partition_get_leader_epoch(found) };
    Ok((partition.offset, epoch))
}

/// Takes what an answer names. Where the leader of a partition was not reached, librdkafka 2.12 drops
/// its error and names no offset, which is a negative one: nothing is known then, least of all that
/// the partition is empty.
fn named((offset, epoch): (i64, i32)) -> Result<EpochOffset, ClientError> {
    match u64::try_from(offset) {
        Ok(offset) => Ok(EpochOffset { offset, epoch }),
        Err(_) => Err(ClientError::AdminOp(RDKafkaErrorCode::BrokerTransportFailure)),
    }
}

/// A topic to create.
pub(crate) struct NewTopic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: i32,
    /// -1: the broker's default.
    pub(crate) replication: i32,
    pub(crate) config: &'a [(String, String)],
}

/// Creates a topic, and returns when the brokers have it; the text is what they object to.
pub(crate) fn create_topic(
    client: &NativeClient,
    topic: &NewTopic<'_>,
    time_max: Duration,
) -> Result<(), (ClientError, String)> {
    let plain = |error| (error, String::new());
    let operation = Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS;
    let request = Request::new(client, operation, time_max).map_err(plain)?;
    let request = request.until_done().map_err(plain)?;
    let name = c_text(topic.name);
    // SAFETY: the name lives during the call, which copies it; no text is asked for.
    let new = unsafe {
        sys::rd_kafka_NewTopic_new(
            name.as_ptr(),
            topic.partitions,
            topic.replication,
            std::ptr::null_mut(),
            0,
        )
    };
    // SAFETY: just made, and nobody else has it.
    let new = unsafe { Owned::new(new, sys::rd_kafka_NewTopic_destroy) };
    let new = new.ok_or(ClientError::AdminOp(RDKafkaErrorCode::InvalidArgument)).map_err(plain)?;
    for (key, value) in topic.config {
        let (key, value) = (c_text(key), c_text(value));
        // SAFETY: all three are alive; the call copies the texts.
        let code = unsafe {
            sys::rd_kafka_NewTopic_set_config(new.as_ptr(), key.as_ptr(), value.as_ptr())
        };
        check(code).map_err(plain)?;
    }
    let mut topics = [new.as_ptr()];
    // SAFETY: all are alive; the call copies topics and options.
    unsafe {
        sys::rd_kafka_CreateTopics(
            client.ptr(),
            topics.as_mut_ptr(),
            topics.len(),
            request.options(),
            request.queue(),
        );
    }
    let answer = request.answer().map_err(plain)?;
    // SAFETY: the answer is alive and of this kind.
    let result = unsafe { sys::rd_kafka_event_CreateTopics_result(answer.as_ptr()) };
    let mut count = 0;
    // SAFETY: the result lives as long as the answer.
    let results = unsafe { sys::rd_kafka_CreateTopics_result_topics(result, &mut count) };
    // SAFETY: as many pointers as the call said, alive as long as the answer.
    for result in unsafe { slice_of(results, count) } {
        // SAFETY: the result lives as long as the answer.
        let code = unsafe { sys::rd_kafka_topic_result_error(*result) };
        // SAFETY: the same.
        let text = unsafe { sys::rd_kafka_topic_result_error_string(*result) };
        // SAFETY: a text of the result's, or null.
        check(code).map_err(|error| (error, unsafe { text_of(text) }))?;
    }
    Ok(())
}

/// Deletes what stands before an offset of a partition.
pub(crate) fn delete_records(
    client: &NativeClient,
    before: &TopicPartitionList,
    time_max: Duration,
) -> Result<(), ClientError> {
    let operation = Operation::RD_KAFKA_ADMIN_OP_DELETERECORDS;
    let request = Request::new(client, operation, time_max)?.until_done()?;
    // SAFETY: the list lives during the call, which copies it.
    let delete = unsafe { sys::rd_kafka_DeleteRecords_new(before.ptr()) };
    // SAFETY: just made, and nobody else has it.
    let delete = unsafe { Owned::new(delete, sys::rd_kafka_DeleteRecords_destroy) };
    let delete = delete.ok_or_else(no_memory)?;
    let mut deletes = [delete.as_ptr()];
    // SAFETY: all are alive; the call copies what it is given.
    unsafe {
        sys::rd_kafka_DeleteRecords(
            client.ptr(),
            deletes.as_mut_ptr(),
            deletes.len(),
            request.options(),
            request.queue(),
        );
    }
    let answer = request.answer()?;
    // SAFETY: the answer is alive and of this kind.
    let result = unsafe { sys::rd_kafka_event_DeleteRecords_result(answer.as_ptr()) };
    // SAFETY: the result lives as long as the answer.
    let offsets = unsafe { sys::rd_kafka_DeleteRecords_result_offsets(result) };
    // SAFETY: a list of the result's.
    unsafe { super::partition_list::first_error(offsets) }
}

mod config;
#[cfg(test)]
mod tests;
pub(crate) use config::{ConfigValue, alter_topic, describe_topic_config};

fn no_memory() -> ClientError {
    ClientError::AdminOpCreation("no memory for the request".to_owned())
}
