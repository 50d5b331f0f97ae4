//! What a message carries beyond the wrapper's view of it.

#![expect(unsafe_code, reason = "calls into librdkafka; see docs/decisions/0014")]

use std::borrow::Cow;
use std::ffi::CStr;
use std::ptr;

use rdkafka::message::BorrowedMessage;
use rdkafka_sys as sys;

use super::native::slice_of;

/// Returns the leader epoch in which a message was written; `None` when the broker named none.
pub(crate) fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the message is alive.
    let epoch = unsafe { sys::rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Iterates over a message's headers, whoever wrote them: the wrapper panics on a name that is no
/// UTF-8. A header without a value has an empty one.
pub(crate) fn headers<'m>(
    message: &'m BorrowedMessage<'_>,
) -> impl Iterator<Item = (Cow<'m, str>, &'m [u8])> {
    let mut found = ptr::null_mut();
    // SAFETY: the message is alive; the headers live as long as it does.
    let code = unsafe { sys::rd_kafka_message_headers(message.ptr(), &mut found) };
    let some = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    (0..).map_while(move |index| if some { header(found, index) } else { None })
}

fn header<'m>(
    headers: *const sys::rd_kafka_headers_t,
    index: usize,
) -> Option<(Cow<'m, str>, &'m [u8])> {
    let (mut name, mut value, mut bytes) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the headers of a message that is alive; an index beyond the last is an error.
    let code =
        unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut bytes) };
    if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    // SAFETY: librdkafka ends names with a zero byte; they live as long as the message.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    // SAFETY: as many bytes as the call said, alive as long as the message.
    Some((name, unsafe { slice_of(value.cast::<u8>(), bytes) }))
}

/// Tells whether a message that failed may be stored all the same.
pub(crate) fn may_be_stored(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is alive.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}
