use std::path::PathBuf;
use std::time::Duration;

use millstream_model::ByteSize;

use super::{Config, Tls};

#[test]
fn the_defaults_are_within_their_ranges() {
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn a_value_outside_its_range_is_refused_by_its_key() {
    type Change = fn(&mut Config);
    let bad: [(&str, Change); 10] = [
        ("brokers", |config| config.brokers.clear()),
        ("brokers", |config| config.brokers = vec!["a:1,b:1".to_owned()]),
        ("topic_prefix", |config| config.topic_prefix = "a/b".to_owned()),
        ("tls.certificate", |config| {
            config.tls = Some(Tls { key: Some(PathBuf::from("key.pem")), ..Tls::default() });
        }),
        ("replication_factor", |config| config.replication_factor = Some(0)),
        ("positions_partitions", |config| config.positions_partitions = 0),
        ("tasks_max", |config| config.tasks_max = 0),
        ("transaction_time_max", |config| config.transaction_time_max = Duration::from_secs(600)),
        ("record_bytes_max", |config| config.record_bytes_max = ByteSize::mib(64)),
        ("queue_bytes_max", |config| config.queue_bytes_max = ByteSize::gib(2)),
    ];
    for (key, change) in bad {
        let mut config = Config::default();
        change(&mut config);
        assert_eq!(config.validate().map_err(|error| error.key), Err(key));
    }
}
