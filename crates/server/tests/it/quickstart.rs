//! The configuration that everybody begins with, and the changes to it that several tests make.

use std::path::Path;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// The configuration that everybody begins with.
pub(crate) const QUICKSTART: &str = include_str!("../../../../examples/quickstart.yaml");

/// Returns the quickstart with `to` where `from` stands in it.
pub(crate) fn changed(from: &str, to: &str) -> String {
    assert!(QUICKSTART.contains(from), "the quickstart has no `{from}`");
    QUICKSTART.replace(from, to)
}

/// Returns the quickstart on another log, given as its whole section, whose appends are small: no
/// event is larger than `append_bytes_max`.
pub(crate) fn on_small_log(log: &str, append_bytes_max: &str) -> String {
    let (before, rest) = QUICKSTART.split_once("log:\n").unwrap();
    let (_log, after) = rest.split_once("\n\n").unwrap();
    let collector = "  topic: events\n";
    assert!(before.contains(collector), "the quickstart has no `{collector}`");
    let limits = format!(
        "{collector}  event_bytes_max: {append_bytes_max}\n  append_bytes_max: {append_bytes_max}\n"
    );
    format!("{}{log}\n{after}", before.replace(collector, &limits))
}

/// Returns the quickstart with its events routed by user: those of one user are in order.
pub(crate) fn routed_by_user() -> String {
    changed("  topic: events\n", "  topic: events\n  key: user_id\n")
}

/// Returns the sections that move a configuration to Kafka, with further lines of that section, and
/// its tables to a directory of their own.
pub(crate) fn kafka_and_lake(brokers: &str, lake: &Path, more: &str) -> String {
    let lake = lake.display();
    format!("\nkafka:\n  brokers: \"{brokers}\"\n{more}\nlake:\n  path: \"{lake}\"\n")
}

/// Returns the rows of the quickstart's table, without the columns that say where each came from.
pub(crate) fn rows(sandbox: &Sandbox) -> Vec<Value> {
    let rows = sandbox.query(
        "SELECT message_id, event, user_id, CAST(timestamp AS VARCHAR) AS t, channel, \
         app_version, properties, context FROM events ORDER BY message_id",
    );
    rows.as_array().unwrap().clone()
}
