//! The configuration of topics: read, and changed key by key.

#![expect(unsafe_code, reason = "calls into librdkafka; see docs/decisions/0014")]

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::client::NativeClient;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka_sys as sys;
use sys::rd_kafka_AlterConfigOpType_t as Change;
use sys::rd_kafka_ConfigSource_t as Source;
use sys::rd_kafka_admin_op_t as Operation;

use super::no_memory;
use crate::ffi::native::{Owned, c_text, slice_of, text_of};
use crate::ffi::request::{Request, check};

/// A value of a topic's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigValue {
    pub(crate) text: String,
    /// Whether it was set for this topic, not for the brokers or by nobody.
    pub(crate) is_own: bool,
}

/// Names a topic as the subject of its configuration.
fn resource(topic: &str) -> Result<Owned<sys::rd_kafka_ConfigResource_t>, ClientError> {
    let name = c_text(topic);
    let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the name lives during the call, which copies it.
    let resource = unsafe { sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
    // SAFETY: just made, and nobody else has it.
    let resource = unsafe { Owned::new(resource, sys::rd_kafka_ConfigResource_destroy) };
    resource.ok_or_else(no_memory)
}

/// Sets these keys of a topic's configuration and leaves the others as they are.
pub(crate) fn alter_topic(
    client: &NativeClient,
    topic: &str,
    changes: &[(String, String)],
    time_max: Duration,
) -> Result<(), ClientError> {
    let operation = Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let request = Request::new(client, operation, time_max)?;
    let resource = resource(topic)?;
    for (key, value) in changes {
        let (key, value) = (c_text(key), c_text(value));
        // SAFETY: all three are alive; the call copies the texts.
        let error = unsafe {
            sys::rd_kafka_ConfigResource_add_incremental_config(
                resource.as_ptr(),
                key.as_ptr(),
                Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                value.as_ptr(),
            )
        };
        // SAFETY: null, or an error made for us.
        if unsafe { Owned::new(error, sys::rd_kafka_error_destroy) }.is_some() {
            return Err(ClientError::AdminOp(RDKafkaErrorCode::InvalidArgument));
        }
    }
    let mut resources = [resource.as_ptr()];
    // SAFETY: all are alive; the call copies what it is given.
    unsafe {
        sys::rd_kafka_IncrementalAlterConfigs(
            client.ptr(),
            resources.as_mut_ptr(),
            resources.len(),
            request.options(),
            request.queue(),
        );
    }
    let answer = request.answer()?;
    // SAFETY: the answer is alive and of this kind.
    let result = unsafe { sys::rd_kafka_event_IncrementalAlterConfigs_result(answer.as_ptr()) };
    let mut count = 0;
    // SAFETY: the result lives as long as the answer.
    let found =
        unsafe { sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count) };
    // SAFETY: as many pointers as the call said, alive as long as the answer.
    for found in unsafe { slice_of(found, count) } {
        // SAFETY: the resource lives as long as the answer.
        check(unsafe { sys::rd_kafka_ConfigResource_error(*found) })?;
    }
    Ok(())
}

/// Returns the configuration of a topic, key by key.
pub(crate) fn describe_topic_config(
    client: &NativeClient,
    topic: &str,
    time_max: Duration,
) -> Result<BTreeMap<String, ConfigValue>, ClientError> {
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    let request = Request::new(client, operation, time_max)?;
    let resource = resource(topic)?;
    let mut resources = [resource.as_ptr()];
    // SAFETY: all are alive; the call copies what it is given.
    unsafe {
        sys::rd_kafka_DescribeConfigs(
            client.ptr(),
            resources.as_mut_ptr(),
            resources.len(),
            request.options(),
            request.queue(),
        );
    }
    let answer = request.answer()?;
    // SAFETY: the answer is alive and of this kind.
    let result = unsafe { sys::rd_kafka_event_DescribeConfigs_result(answer.as_ptr()) };
    let mut count = 0;
    // SAFETY: the result lives as long as the answer.
    let found = unsafe { sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count) };
    let mut values = BTreeMap::new();
    // SAFETY: as many pointers as the call said, alive as long as the answer.
    for found in unsafe { slice_of(found, count) } {
        // SAFETY: the resource lives as long as the answer.
        check(unsafe { sys::rd_kafka_ConfigResource_error(*found) })?;
        let mut count = 0;
        // SAFETY: the same.
        let entries = unsafe { sys::rd_kafka_ConfigResource_configs(*found, &mut count) };
        // SAFETY: as many pointers as the call said, alive as long as the answer.
        for entry in unsafe { slice_of(entries, count) } {
            // SAFETY: the entry lives as long as the answer.
            let name = unsafe { sys::rd_kafka_ConfigEntry_name(*entry) };
            // SAFETY: the same.
            let value = unsafe { sys::rd_kafka_ConfigEntry_value(*entry) };
            // SAFETY: a text of the entry's.
            let name = unsafe { text_of(name) };
            // SAFETY: a text of the entry's, or null.
            let text = unsafe { text_of(value) };
            // SAFETY: the entry lives as long as the answer.
            let source = unsafe { sys::rd_kafka_ConfigEntry_source(*entry) };
            let is_own = source == Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
            values.insert(name, ConfigValue { text, is_own });
        }
    }
    Ok(values)
}
