use super::*;

fn on_kafka() -> Config {
    let mut config = Config::quickstart();
    config.kafka = Some(millstream_log_kafka::Config::default());
    config
}

#[test]
fn a_node_has_every_role_unless_told_otherwise() {
    for config in [Config::quickstart(), on_kafka()] {
        let roles = Roles::of(&[], &config).expect("always allowed");
        assert!(
            [Role::Collector, Role::Clean, Role::Sink].map(|role| roles.has(role)) == [true; 3]
        );
    }
}

#[test]
fn some_roles_are_had_on_kafka_only() {
    let said = [Role::Clean, Role::Sink];
    let roles = Roles::of(&said, &on_kafka()).expect("Kafka is shared");
    assert!(roles.has(Role::Clean) && roles.has(Role::Sink) && !roles.has(Role::Collector));
    let refused = Roles::of(&said, &Config::quickstart()).expect_err("nobody else has the rest");
    assert_eq!(refused.code(), Code::Usage);
}
