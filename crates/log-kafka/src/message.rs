//! Records as Kafka's messages, and back, byte for byte.
//!
//! Two things of a record need care. Kafka's client takes a time of zero for "now", and a topic
//! with a retention by time deletes what claims to be from long ago; so a time that is not after
//! 1970 travels in a header of its own, [`TIMESTAMP`]. And what other producers wrote may lack
//! what ours always has: a header without a value is read as an empty one.

use std::borrow::Cow;

use millstream_model::record::RECORD_OVERHEAD_BYTES;
use millstream_model::{Headers, HeadersBuilder, Record, RecordBatchBuilder, Timestamp};
use rdkafka::message::{
    BorrowedMessage, Header, Message as _, OwnedHeaders, Timestamp as MessageTime,
};
use rdkafka::producer::BaseRecord;
use rdkafka::util::IntoOpaque;

use crate::ffi::message::headers;

/// The header with the time of a record that Kafka itself cannot keep: milliseconds, i64,
/// little-endian. It is taken off when the record is read.
const TIMESTAMP: &str = "ms.timestamp";

/// Builds the message of a record for one partition.
pub(crate) fn message_of<'a, O: IntoOpaque>(
    topic: &'a str,
    partition: i32,
    record: Record<'a>,
    opaque: O,
) -> BaseRecord<'a, [u8], [u8], O> {
    let millis = record.timestamp.as_millis();
    let mut message = BaseRecord::with_opaque_to(topic, opaque).partition(partition);
    message.key = record.key;
    message.payload = record.value;
    message.headers = headers_of(record.headers, millis);
    if millis > 0 { message.timestamp(millis) } else { message }
}

fn headers_of(headers: Headers<'_>, millis: i64) -> Option<OwnedHeaders> {
    if headers.is_empty() && millis > 0 {
        return None;
    }
    let mut owned = OwnedHeaders::new_with_capacity(usize::from(headers.len()) + 1);
    for (key, value) in headers.iter() {
        owned = owned.insert(Header { key, value: Some(value) });
    }
    if millis <= 0 {
        owned = owned.insert(Header { key: TIMESTAMP, value: Some(&millis.to_le_bytes()) });
    }
    Some(owned)
}

/// Adds the record of a message to a batch.
pub(crate) fn push(batch: &mut RecordBatchBuilder, message: &BorrowedMessage<'_>) {
    let mut millis = match message.timestamp() {
        MessageTime::CreateTime(millis) | MessageTime::LogAppendTime(millis) => millis,
        MessageTime::NotAvailable => 0,
    };
    let mut headers = HeadersBuilder::new();
    for (name, value) in kept_headers(message) {
        match <[u8; 8]>::try_from(value) {
            Ok(bytes) if name == TIMESTAMP => millis = i64::from_le_bytes(bytes),
            _ => headers.push(&name, value),
        }
    }
    batch.push(Record {
        timestamp: Timestamp::from_millis(millis),
        key: message.key(),
        value: message.payload(),
        headers: headers.as_headers(),
    });
}

/// Returns how many bytes [`push`] adds for a message, at most.
pub(crate) fn encoded_len(message: &BorrowedMessage<'_>) -> usize {
    let headers: usize =
        kept_headers(message).map(|(name, value)| 6 + name.len() + value.len()).sum();
    RECORD_OVERHEAD_BYTES + message.key_len() + message.payload_len() + headers
}

/// The headers that a record of ours can hold: others write names and numbers that ours never has.
fn kept_headers<'m>(
    message: &'m BorrowedMessage<'_>,
) -> impl Iterator<Item = (Cow<'m, str>, &'m [u8])> {
    let most = usize::from(u16::MAX);
    headers(message).filter(move |(name, _)| name.len() <= most).take(most)
}

/// Returns the encoded bytes of a record.
pub(crate) fn record_len(record: &Record<'_>) -> usize {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize =
        record.headers.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
    RECORD_OVERHEAD_BYTES + len(record.key) + len(record.value) + headers
}
