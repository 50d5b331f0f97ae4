//! What a consumer knows without asking a broker.

#![expect(unsafe_code, reason = "calls into librdkafka; see docs/decisions/0014")]

use rdkafka::client::NativeClient;
use rdkafka_sys as sys;

use super::native::Owned;

/// Returns how many messages and events wait to be polled.
pub(crate) fn queued(client: &NativeClient) -> usize {
    // SAFETY: the client is alive; the result is a reference that is ours to give back.
    let queue = unsafe { sys::rd_kafka_queue_get_consumer(client.ptr()) };
    // SAFETY: null, or a reference made for us.
    let queue = unsafe { Owned::new(queue, sys::rd_kafka_queue_destroy) };
    // SAFETY: the queue is alive.
    queue.map_or(0, |queue| unsafe { sys::rd_kafka_queue_length(queue.as_ptr()) })
}
