use millstream_model::TopicName;

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
fn tasks_are_named_after_the_journal_the_topic_and_the_partition() {
    let journal = LogId(uuid::Uuid::from_u128(0xab));
    let input = TopicPartition::new(TopicName::new("events").unwrap(), 3);
    let local = local_task("millstream", &input);
    assert_eq!(local.as_str(), "millstream.spool.events.3");
    let remote = remote_task("millstream", journal, &input);
    assert_eq!(remote.as_str(), "millstream.spool.000000000000000000000000000000ab.events.3");
    let long = |end: &str| {
        let name = TopicName::new(&format!("{}{end}", "t".repeat(240))).unwrap();
        remote_task("millstream", journal, &TopicPartition::new(name, u32::MAX))
    };
    assert_ne!(long("a"), long("b"));
}
