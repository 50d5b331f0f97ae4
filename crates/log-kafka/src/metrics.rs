//! The metrics of this crate, declared here only.

use metrics::{Unit, counter, describe_counter};

const HUNG_WRITERS: &str = "millstream_log_kafka_hung_writers_total";

/// Gives every metric its help text.
pub fn describe() {
    let help = "Producers given up because a call into librdkafka did not return.";
    describe_counter!(HUNG_WRITERS, Unit::Count, help);
}

pub(crate) fn writer_hung() {
    counter!(HUNG_WRITERS).increment(1);
}
