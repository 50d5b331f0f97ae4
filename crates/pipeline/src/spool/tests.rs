use super::*;

#[test]
fn the_default_is_valid_and_limits_are_checked() {
    let default = Config::default();
    assert_eq!(default.validate(), Ok(()));
    let check = |config: Config, key| assert_eq!(config.validate().unwrap_err().key, key);
    check(Config { batch_bytes_max: ByteSize(1), ..default.clone() }, "batch_bytes_max");
    let forward_interval = Duration::from_secs(11);
    check(Config { forward_interval, ..default.clone() }, "forward_interval");
    let transaction_time_max = Duration::ZERO;
    check(Config { transaction_time_max, ..default.clone() }, "transaction_time_max");
    check(Config { register_interval: Duration::ZERO, ..default.clone() }, "register_interval");
    check(Config { register_bytes_max: ByteSize(1), ..default.clone() }, "register_bytes_max");
    check(Config { drain_timeout: Duration::from_secs(301), ..default }, "drain_timeout");
}

#[test]
fn tasks_are_named_after_the_journal_and_the_partition() {
    let journal = LogId(uuid::Uuid::from_u128(0xab));
    assert_eq!(local_task("millstream", 3).as_str(), "millstream.spool.3");
    let remote = remote_task("millstream", journal, 3);
    assert_eq!(remote.as_str(), "millstream.spool.000000000000000000000000000000ab.3");
}
