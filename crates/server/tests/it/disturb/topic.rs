//! Reads whole topics with Kafka's own consumer: it knows nothing of us, and sees what is committed.

use std::process::{Command, Output};

use millstream_testkit::kafka::Kafka;
use serde_json::Value;

/// How long the consumer waits for one more record before it takes the topic to be read.
const IDLE_MS: &str = "10000";
/// What begins a line with a record; what Kafka logs stands on other lines.
const MARK: &str = "Partition:";

/// The topics of one cluster.
#[derive(Debug)]
pub(crate) struct Topics<'k> {
    kafka: &'k Kafka,
    brokers: String,
}

impl<'k> Topics<'k> {
    /// Names the cluster.
    pub(crate) fn new(kafka: &'k Kafka, brokers: String) -> Self {
        Self { kafka, brokers }
    }

    /// Reads two topics at once and returns the message ids in them; those of one key are in the
    /// order in which they are there.
    pub(crate) fn message_ids(&self, topics: [&str; 2]) -> [Vec<String>; 2] {
        let read = topics.map(|topic| self.reader(topic));
        std::thread::scope(|scope| {
            read.map(|mut reader| scope.spawn(move || reader.output().unwrap()))
                .map(|reader| ids(&reader.join().unwrap()))
        })
    }

    fn reader(&self, topic: &str) -> Command {
        let mut command = self.kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer");
        command.args(["--bootstrap-server", &self.brokers, "--topic", topic, "--from-beginning"]);
        command.args(["--isolation-level", "read_committed", "--timeout-ms", IDLE_MS]);
        command.args(["--formatter-property", "print.partition=true"]);
        command
    }
}

fn ids(output: &Output) -> Vec<String> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let records = text.lines().filter(|line| line.starts_with(MARK));
    let ids: Vec<String> = records.map(id).collect();
    // The consumer's own count: nothing was lost between its lines and ours.
    let total = format!("Processed a total of {} messages", ids.len());
    assert!(errors.contains(&total), "not `{total}`: {errors}");
    ids
}

fn id(line: &str) -> String {
    let (_, value) = line.split_once('\t').unwrap();
    let event: Value = serde_json::from_str(value).unwrap();
    event["message_id"].as_str().unwrap().to_owned()
}
