//! A server that cannot be had, as the gate sees it: a test of this binary, run without Java.

use std::process::{Command, Output};

fn run_without_java(required: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kafka::three_brokers_form_a_cluster_that_survives_the_death_of_one"]);
    command.arg("--show-output").env("JAVA_HOME", "no-java-here");
    command.env_remove("MILLSTREAM_SERVERS_REQUIRED");
    command.envs(required.map(|value| ("MILLSTREAM_SERVERS_REQUIRED", value)));
    command.output().unwrap()
}

#[test]
fn without_its_server_a_test_says_that_it_is_skipped() {
    let output = run_without_java(None);
    let text = String::from_utf8(output.stdout).unwrap();
    let skips: Vec<&str> = text.lines().filter(|line| line.starts_with("SKIPPED: ")).collect();
    assert_eq!(skips.len(), 1, "{text}");
    assert!(skips[0].starts_with("SKIPPED: Kafka cannot be had here: start no-java"), "{text}");
    assert!(output.status.success(), "{text}");
}

#[test]
fn where_servers_are_required_it_fails() {
    let output = run_without_java(Some("1"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("MILLSTREAM_SERVERS_REQUIRED is set, and Kafka cannot be"), "{text}");
    assert!(!text.contains("SKIPPED"), "{text}");
}
