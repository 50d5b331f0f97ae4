//! Real Kafka, asked through Kafka's own tools.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use millstream_testkit::kafka::{Cluster, Config, Kafka, Tuning, User};

use crate::process::group;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";

/// Runs a tool and returns what it wrote.
fn run(mut command: Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn create_topic(kafka: &Kafka, cluster: &Cluster, topic: &str) {
    let mut command = kafka.tool(TOPICS);
    command.args(["--bootstrap-server", &cluster.bootstrap(), "--create", "--topic", topic]);
    run(command, "");
}

fn produce(kafka: &Kafka, cluster: &Cluster, topic: &str, lines: &str) {
    let mut command = kafka.tool(PRODUCER);
    command.args(["--bootstrap-server", &cluster.bootstrap(), "--topic", topic]);
    run(command, lines);
}

fn consume(kafka: &Kafka, bootstrap: &str, topic: &str, more: &[&str]) -> String {
    let mut command = kafka.tool(CONSUMER);
    command.args(["--bootstrap-server", bootstrap, "--topic", topic]);
    command.args(["--from-beginning", "--max-messages", "3", "--timeout-ms", "30000"]).args(more);
    run(command, "")
}

#[test]
fn a_broker_keeps_its_address_and_data_through_kill_pause_stop_and_start() {
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let bootstrap = cluster.bootstrap();
    create_topic(&kafka, &cluster, "kept");
    produce(&kafka, &cluster, "kept", "one\ntwo\nthree\n");

    let first = cluster.broker(0).pid().unwrap();
    cluster.broker(0).kill().unwrap();
    assert_eq!(group(first), "");
    cluster.broker(0).start().unwrap();
    assert_ne!(cluster.broker(0).pid(), Some(first));
    cluster.broker(0).pause().unwrap();
    assert!(cluster.broker(0).ask().is_err(), "it answers while it is paused");
    cluster.broker(0).resume().unwrap();
    cluster.broker(0).wait_until_ready().unwrap();
    cluster.broker(0).stop().unwrap();
    cluster.broker(0).start().unwrap();

    assert_eq!(cluster.bootstrap(), bootstrap);
    for protocol in ["classic", "consumer"] {
        let protocol = format!("group.protocol={protocol}");
        let read = consume(&kafka, &bootstrap, "kept", &["--command-property", &protocol]);
        assert_eq!(read, "one\ntwo\nthree\n", "{protocol}");
    }
    let last = cluster.broker(0).pid().unwrap();
    drop(cluster);
    assert_eq!(group(last), "");
}

#[test]
fn users_log_in_by_plain_and_scram_and_clients_trust_the_certificate() {
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let alice = User { name: "alice".to_owned(), password: "wonder".to_owned() };
    let config = Config { users: vec![alice], tls: true, ..Config::default() };
    let mut cluster = kafka.start(&config).unwrap();
    create_topic(&kafka, &cluster, "secured");
    produce(&kafka, &cluster, "secured", "one\ntwo\nthree\n");
    let trust = format!(
        "ssl.truststore.type=PEM\nssl.truststore.location={}\n",
        cluster.certificate().unwrap().display()
    );
    let directory = cluster.broker(0).directory().to_owned();
    let (sasl, tls) = (cluster.bootstrap_sasl(), cluster.bootstrap_tls());
    let both = cluster.bootstrap_sasl_tls();
    for (bootstrap, protocol, mechanism) in [
        (&sasl, "SASL_PLAINTEXT", Some("PLAIN")),
        (&sasl, "SASL_PLAINTEXT", Some("SCRAM-SHA-256")),
        (&tls, "SSL", None),
        (&both, "SASL_SSL", Some("SCRAM-SHA-512")),
    ] {
        let properties = client(&directory, protocol, mechanism, &trust);
        let read = consume(&kafka, bootstrap, "secured", &["--command-config", &properties]);
        assert_eq!(read, "one\ntwo\nthree\n", "{protocol} {mechanism:?}");
    }
}

/// Writes the properties of a client and returns their path.
fn client(directory: &Path, protocol: &str, mechanism: Option<&str>, trust: &str) -> String {
    let mut text = format!("security.protocol={protocol}\n{trust}");
    if let Some(mechanism) = mechanism {
        let module = match mechanism {
            "PLAIN" => "plain.PlainLoginModule",
            _ => "scram.ScramLoginModule",
        };
        text.push_str(&format!(
            "sasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module} \
             required username=\"alice\" password=\"wonder\";\n"
        ));
    }
    let path = directory.join(format!("{protocol}-{}.properties", mechanism.unwrap_or("none")));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn kafkas_own_producer_measures_transactions() {
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let cluster = kafka.start(&Config { tuning: Tuning::Throughput, ..Config::default() }).unwrap();
    create_topic(&kafka, &cluster, "measured");
    let mut command = kafka.tool("org.apache.kafka.tools.ProducerPerformance");
    command.args(["--bootstrap-server", &cluster.bootstrap(), "--topic", "measured"]);
    command.args(["--num-records", "1000", "--record-size", "100", "--throughput", "-1"]);
    command.args(["--transaction-duration-ms", "100"]);
    let report = run(command, "");
    assert!(report.starts_with("1000 records sent, "), "{report}");
}

#[test]
fn three_brokers_form_a_cluster_that_survives_the_death_of_one() {
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config { brokers: 3, ..Config::default() }).unwrap();
    create_topic(&kafka, &cluster, "replicated");
    cluster.broker(0).kill().unwrap();
    produce(&kafka, &cluster, "replicated", "one\ntwo\nthree\n");
    cluster.start().unwrap();
    let read = consume(&kafka, &cluster.bootstrap(), "replicated", &[]);
    assert_eq!(read, "one\ntwo\nthree\n");
}
