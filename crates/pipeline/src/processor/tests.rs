use super::*;

#[test]
fn the_default_is_valid_and_limits_are_checked() {
    let default = Config::default();
    assert_eq!(default.validate(), Ok(()));
    let check = |config: Config, key| assert_eq!(config.validate().unwrap_err().key, key);
    check(Config { batch_bytes_max: ByteSize(1), ..default.clone() }, "batch_bytes_max");
    let transaction_bytes_max = ByteSize::kib(1);
    check(Config { transaction_bytes_max, ..default.clone() }, "transaction_bytes_max");
    let transaction_time_max = Duration::ZERO;
    check(Config { transaction_time_max, ..default.clone() }, "transaction_time_max");
    check(Config { drain_timeout: Duration::from_secs(301), ..default }, "drain_timeout");
}
