//! Reads whole topics with Kafka's own consumer: it knows nothing of us, and sees what is committed.

use std::process::{Command, Output};

use millstream_testkit::kafka::Kafka;
use serde_json::Value;

/// How many milliseconds the consumer waits for one more record before it takes the topic to be
/// read; then, where there must be more, and the machine may only have been busy.
const IDLE_MS: [&str; 2] = ["8000", "60000"];
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

    /// Reads two topics at once and returns the message ids in them, which must be so many at least;
    /// those of one key are in the order in which they are there.
    pub(crate) fn message_ids(&self, topics: [(&str, usize); 2]) -> [Vec<String>; 2] {
        std::thread::scope(|scope| {
            topics
                .map(|(topic, least)| scope.spawn(move || self.read(topic, least)))
                .map(|reader| reader.join().unwrap())
        })
    }

    fn read(&self, topic: &str, least: usize) -> Vec<String> {
        let mut found = Vec::new();
        for idle in IDLE_MS {
            found = ids(&self.reader(topic, idle).output().unwrap());
            if found.len() >= least {
                break;
            }
        }
        found
    }

    fn reader(&self, topic: &str, idle: &str) -> Command {
        let mut command = self.kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer");
        command.args(["--bootstrap-server", &self.brokers, "--topic", topic, "--from-beginning"]);
        command.args(["--isolation-level", "read_committed", "--timeout-ms", idle]);
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
