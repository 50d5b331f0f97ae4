//! Limits of configuration values.

use millstream_model::ByteSize;

use super::Config;

fn check(change: impl FnOnce(&mut Config), key: &str) {
    let mut config = Config::default();
    change(&mut config);
    let refused = config.validate().unwrap_err();
    assert_eq!(refused.key, key, "{refused}");
}

#[test]
fn the_defaults_are_allowed() {
    Config::default().validate().unwrap();
}

#[test]
fn values_outside_their_range_are_refused_by_their_key() {
    check(|config| config.bytes_max = ByteSize::kib(1), "bytes_max");
    check(|config| config.segment_bytes_max = ByteSize::gib(2), "segment_bytes_max");
    check(|config| config.group_bytes_max = ByteSize::gib(1), "group_bytes_max");
    check(|config| config.transaction_bytes_max = ByteSize::gib(1), "transaction_bytes_max");
    check(|config| config.queue_bytes_max = ByteSize::mib(1), "queue_bytes_max");
    check(|config| config.reserve_bytes = ByteSize::gib(8), "reserve_bytes");
    check(|config| config.tasks_max = 0, "tasks_max");
}

#[test]
fn a_journal_too_small_for_eight_segments_is_refused() {
    check(|config| config.bytes_max = ByteSize::mib(512), "segment_bytes_max");
}
