//! One request of an administrator: sent to a queue of its own, awaited there for a bounded time.

#![expect(unsafe_code, reason = "calls into librdkafka; see docs/decisions/0014")]

use std::ptr;
use std::time::Duration;

use rdkafka::client::NativeClient;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::native::Owned;

/// Longer than a request's own limit, so that librdkafka gets to say what it waited for.
const GRACE: Duration = Duration::from_secs(1);

/// A request on its way.
pub(super) struct Request {
    options: Owned<sys::rd_kafka_AdminOptions_t>,
    queue: Owned<sys::rd_kafka_queue_t>,
    time_max: Duration,
}

/// The answer to a request; what was read from it lives as long.
pub(super) struct Answer {
    event: Owned<sys::rd_kafka_event_t>,
}

impl Request {
    /// Prepares a request of kind `operation` on `client`, which must outlive it.
    pub(super) fn new(
        client: &NativeClient,
        operation: sys::rd_kafka_admin_op_t,
        time_max: Duration,
    ) -> Result<Self, ClientError> {
        // SAFETY: the client is alive; the result is ours to destroy.
        let options = unsafe { sys::rd_kafka_AdminOptions_new(client.ptr(), operation) };
        // SAFETY: just made, and nobody else has it.
        let options = unsafe { Owned::new(options, sys::rd_kafka_AdminOptions_destroy) };
        // SAFETY: the client is alive; the result is ours to destroy.
        let queue = unsafe { sys::rd_kafka_queue_new(client.ptr()) };
        // SAFETY: just made, and nobody else has it.
        let queue = unsafe { Owned::new(queue, sys::rd_kafka_queue_destroy) };
        let (Some(options), Some(queue)) = (options, queue) else {
            return Err(ClientError::AdminOpCreation("no memory for the request".to_owned()));
        };
        // SAFETY: the options are alive; no text is asked for.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options.as_ptr(),
                millis(time_max),
                ptr::null_mut(),
                0,
            )
        };
        check(code)?;
        Ok(Self { options, queue, time_max })
    }

    /// Lets the broker answer only when it is done, for kinds that can wait for that.
    pub(super) fn until_done(self) -> Result<Self, ClientError> {
        // SAFETY: the options are alive; no text is asked for.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_operation_timeout(
                self.options.as_ptr(),
                millis(self.time_max),
                ptr::null_mut(),
                0,
            )
        };
        check(code).map(|()| self)
    }

    /// Asks for what readers of that kind see.
    pub(super) fn isolated(
        self,
        level: sys::rd_kafka_IsolationLevel_t,
    ) -> Result<Self, ClientError> {
        // SAFETY: the options are alive.
        let error =
            unsafe { sys::rd_kafka_AdminOptions_set_isolation_level(self.options.as_ptr(), level) };
        // SAFETY: null, or an error made for us.
        match unsafe { Owned::new(error, sys::rd_kafka_error_destroy) } {
            None => Ok(self),
            Some(error) => {
                // SAFETY: the error is alive.
                let code = unsafe { sys::rd_kafka_error_code(error.as_ptr()) };
                Err(ClientError::AdminOp(code.into()))
            }
        }
    }

    pub(super) fn options(&self) -> *const sys::rd_kafka_AdminOptions_t {
        self.options.as_ptr()
    }

    pub(super) fn queue(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Waits for the answer to what was sent to the queue.
    pub(super) fn answer(self) -> Result<Answer, ClientError> {
        // SAFETY: the queue is alive.
        let event =
            unsafe { sys::rd_kafka_queue_poll(self.queue.as_ptr(), millis(self.time_max + GRACE)) };
        // SAFETY: null, or an event made for us.
        let event = unsafe { Owned::new(event, sys::rd_kafka_event_destroy) };
        let event = event.ok_or(ClientError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
        // SAFETY: the event is alive.
        check(unsafe { sys::rd_kafka_event_error(event.as_ptr()) })?;
        Ok(Answer { event })
    }
}

impl Answer {
    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.event.as_ptr()
    }
}

/// Turns librdkafka's code into a result.
pub(super) fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), ClientError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(ClientError::AdminOp(code)),
    }
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
