use super::*;

#[test]
fn the_defaults_are_valid() {
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn a_value_out_of_range_is_named_with_its_range() {
    let check = |config: Config, expected: &str| {
        let error = config.validate().expect_err("out of range");
        assert_eq!(error.to_string(), expected);
    };
    let config = Config { depth_max: 0, ..Config::default() };
    check(config, "depth_max: 0 is not between 1 and 1024");
    let config = Config { event_bytes_max: ByteSize::mib(9), ..Config::default() };
    check(config, "event_bytes_max: 9 MiB is not between 64 B and 8 MiB");
    let config = Config { idle_timeout: Duration::ZERO, ..Config::default() };
    check(config, "idle_timeout: 0ns is not between 1ms and 3600s");
    let config = Config { key: Some("a..b".to_owned()), ..Config::default() };
    check(config, "key");
    let config = Config { topic: "a/b".to_owned(), ..Config::default() };
    check(config, "topic");
}

#[test]
fn the_budget_always_admits_the_largest_body() {
    let config = Config { inflight_bytes_max: ByteSize::mib(16), ..Config::default() };
    assert_eq!(config.validate().map_err(|error| error.key()), Err("inflight_bytes_max"));
}
