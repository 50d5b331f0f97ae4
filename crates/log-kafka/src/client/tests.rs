use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::BaseProducer;

use super::connection::TroubleKind;
use super::{Clients, Connection, Isolation};
use crate::config::{Config, Mechanism, Sasl, Tls};
use crate::error::{KafkaError, Reason};
use crate::names::Names;

fn clients(config: Config) -> Clients {
    let names = Names::new(&config.topic_prefix, "millstream");
    Clients::new(config.into(), names)
}

#[test]
fn librdkafka_takes_every_setting_of_every_kind_of_client() {
    let secured = Config {
        tls: Some(Tls::default()),
        sasl: Some(Sasl {
            mechanism: Mechanism::ScramSha512,
            username: "user".to_owned(),
            password: "secret".to_owned(),
        }),
        ..Config::default()
    };
    let hasty = Config { transaction_time_max: Duration::from_millis(500), ..Config::default() };
    for clients in [clients(Config::default()), clients(secured), clients(hasty)] {
        let kinds = [
            clients.admin(),
            clients.reader(Isolation::Committed),
            clients.reader(Isolation::Uncommitted),
            clients.looking_reader(Isolation::Committed),
            clients.member("group"),
            clients.producer(),
            clients.single_producer(),
            clients.transactional("id"),
        ];
        for kind in kinds {
            kind.create_native_config().expect("librdkafka refuses a setting");
            if kind.get("transactional.id").is_some() {
                // Which settings go together is checked only here.
                let made: Result<BaseProducer, _> = kind.create();
                made.expect("librdkafka refuses the settings together");
            }
        }
    }
}

#[test]
fn a_password_is_not_shown() {
    let sasl = Sasl {
        mechanism: Mechanism::Plain,
        username: "user".to_owned(),
        password: "secret".to_owned(),
    };
    let config = Config { sasl: Some(sasl), ..Config::default() };
    let shown = format!("{config:?} {:?}", clients(config.clone()));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_time_out_is_told_with_what_the_client_said_before() {
    let connection = Connection::new("test");
    let timed_out = || ClientError::MetadataFetch(Code::OperationTimedOut);
    let told = || KafkaError::new("ask", timed_out(), &connection).reason;
    assert!(matches!(told(), Reason::TimedOut { .. }));
    connection.on_error(&ClientError::Global(Code::AllBrokersDown), "1/1 brokers are down");
    assert!(matches!(told(), Reason::Unreachable { .. }));
    let refused = "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused";
    connection.on_error(&ClientError::Global(Code::BrokerTransportFailure), refused);
    connection.on_error(&ClientError::Global(Code::AllBrokersDown), "1/1 brokers are down");
    assert_eq!(told(), Reason::Unreachable { detail: refused.to_owned() });
    connection.on_error(&ClientError::Global(Code::Authentication), "invalid password");
    connection.on_error(&ClientError::Global(Code::AllBrokersDown), "1/1 brokers are down");
    assert!(matches!(told(), Reason::Login { .. }), "the vague hides the telling");
    assert_eq!(connection.trouble().expect("it said something").kind, TroubleKind::Login);
    connection.on_success();
    assert!(matches!(told(), Reason::TimedOut { .. }));
}

#[test]
fn a_connection_closed_at_once_is_no_question_of_tls_once_brokers_have_answered() {
    let connection = Connection::new("test");
    let timed_out = || ClientError::MetadataFetch(Code::OperationTimedOut);
    let told = || KafkaError::new("ask", timed_out(), &connection).reason;
    let closed = "Disconnected: connection reset by peer (after 1ms in state APIVERSION_QUERY)";
    connection.on_log(RDKafkaLogLevel::Info, "FAIL", closed);
    assert!(matches!(told(), Reason::Tls { .. }));
    connection.on_success();
    connection.on_log(RDKafkaLogLevel::Info, "FAIL", closed);
    assert!(matches!(told(), Reason::Unreachable { .. }));
}
