//! The metrics of this crate, declared here only.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const OPEN_DURATION: &str = "millstream_log_kafka_open_duration_seconds";
const TRANSACTION_DURATION: &str = "millstream_log_kafka_transaction_duration_seconds";
const FAILED_TRANSACTIONS: &str = "millstream_log_kafka_failed_transactions_total";
const COMPLETED_TRANSACTIONS: &str = "millstream_log_kafka_completed_transactions_total";
const HUNG_WRITERS: &str = "millstream_log_kafka_hung_writers_total";
const HUNG_CALLS: &str = "millstream_log_kafka_hung_calls_total";
const ENDING_CLIENTS: &str = "millstream_log_kafka_ending_clients";
const FAILED_MEMBERS: &str = "millstream_log_kafka_failed_members_total";

/// How a transaction ended that did not commit; the values of the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    Aborted,
    Fenced,
    InDoubt,
}

impl Failed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Fenced => "fenced",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// Gives every metric its help text.
pub fn describe() {
    let seconds = Unit::Seconds;
    describe_histogram!(OPEN_DURATION, seconds, "Time until a task was opened");
    describe_histogram!(TRANSACTION_DURATION, seconds, "Time until a transaction was committed");
    describe_counter!(FAILED_TRANSACTIONS, Unit::Count, "Transactions not committed, by outcome");
    describe_counter!(
        COMPLETED_TRANSACTIONS,
        Unit::Count,
        "Transactions that Kafka had committed in part, completed when opened"
    );
    describe_counter!(HUNG_WRITERS, Unit::Count, "Writers given up: a call into librdkafka hangs");
    describe_counter!(HUNG_CALLS, Unit::Count, "Other calls into librdkafka that hang, given up");
    describe_gauge!(ENDING_CLIENTS, Unit::Count, "Clients of Kafka that wait for their end");
    describe_counter!(FAILED_MEMBERS, Unit::Count, "Group members that failed and joined again");
}

pub(crate) fn opened(took: Duration) {
    histogram!(OPEN_DURATION).record(took.as_secs_f64());
}

pub(crate) fn committed(took: Duration) {
    histogram!(TRANSACTION_DURATION).record(took.as_secs_f64());
}

pub(crate) fn transaction_failed(outcome: Failed) {
    counter!(FAILED_TRANSACTIONS, "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn completed() {
    counter!(COMPLETED_TRANSACTIONS).increment(1);
}

pub(crate) fn writer_hung() {
    counter!(HUNG_WRITERS).increment(1);
}

pub(crate) fn call_hung() {
    counter!(HUNG_CALLS).increment(1);
}

pub(crate) fn member_failed() {
    counter!(FAILED_MEMBERS).increment(1);
}

pub(crate) fn client_waits() {
    gauge!(ENDING_CLIENTS).increment(1.0);
}

pub(crate) fn client_ended() {
    gauge!(ENDING_CLIENTS).decrement(1.0);
}
