//! The flow of a node: which pipeline reads and writes which topic, which sink fills which table.
//!
//! A node writes it to `flow.json` in its data directory, so that `reconcile` and `dlq` can read
//! the directory also when no node runs, and so that the next node sees what was renamed.

pub(crate) mod renamed;
pub(crate) mod takeover;
mod undeclared;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use millstream_model::{TaskId, TopicName};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::data_dir::DataDir;

/// The application's part of task ids.
pub(crate) const APP: &str = "millstream";

/// Which way events go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Where the tables lie, if not in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lake: Option<PathBuf>,
    /// The brokers of the Kafka cluster that is the log; `None`: the journal is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kafka: Option<String>,
    /// The topic that the collector appends to.
    pub(crate) collected: String,
    /// The topics.
    pub(crate) topics: Vec<FlowTopic>,
    /// The pipelines.
    pub(crate) pipelines: Vec<FlowPipeline>,
    /// The sinks.
    pub(crate) sinks: Vec<FlowSink>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowTopic {
    /// Its name.
    pub(crate) name: String,
    /// Its number of partitions.
    pub(crate) partitions: u32,
}

/// One pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowPipeline {
    /// Its name.
    pub(crate) name: String,
    /// The topic it reads.
    pub(crate) from: String,
    /// The topic it writes.
    pub(crate) to: String,
    /// Where it puts what it rejects.
    pub(crate) dead_letters: String,
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowSink {
    /// Its name.
    pub(crate) name: String,
    /// The topic it reads.
    pub(crate) from: String,
    /// Its table.
    pub(crate) table: String,
    /// Where it puts what does not fit the table.
    pub(crate) dead_letters: String,
}

impl Flow {
    /// Takes the flow out of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let topic = |topic: &crate::config::TopicSpec| FlowTopic {
            name: topic.name.value.to_string(),
            partitions: topic.config.partitions,
        };
        let pipeline = |pipeline: &crate::config::PipelineSpec| FlowPipeline {
            name: pipeline.name.value.clone(),
            from: pipeline.from.value.to_string(),
            to: pipeline.to.value.to_string(),
            dead_letters: pipeline.dead_letters.value.to_string(),
        };
        let sink = |sink: &crate::config::SinkSpec| FlowSink {
            name: sink.name.value.clone(),
            from: sink.from.value.to_string(),
            table: sink.table.value.to_string(),
            dead_letters: config.sink_dead_letters(sink).to_string(),
        };
        Self {
            lake: config.lake.path.clone(),
            kafka: config.kafka.as_ref().map(|kafka| kafka.brokers.join(",")),
            collected: config.collector.topic.clone(),
            topics: config.topics.iter().map(topic).collect(),
            pipelines: config.pipelines.iter().map(pipeline).collect(),
            sinks: config.sinks.iter().map(sink).collect(),
        }
    }

    /// Reads the flow that the last node on a data directory wrote; `None` when none ever ran.
    pub(crate) fn read(data: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(data.join("flow.json")) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the flow in one step, unless it stands there: a full disk is no reason not to start.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        if Self::read(data)?.is_some_and(|written| written == *self) {
            return Ok(());
        }
        let draft = data.join("flow.json.draft");
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&text)?;
        // The next start reads it: a power cut may leave the last flow, but no half of this one.
        file.sync_all()?;
        std::fs::rename(&draft, data.join("flow.json"))
    }

    /// Returns where the tables of a data directory lie, by its flow if a node ever ran there.
    pub(crate) fn lake_of(data: &DataDir) -> io::Result<PathBuf> {
        let flow = Self::read(data.path())?;
        Ok(flow.and_then(|flow| flow.lake).unwrap_or_else(|| data.lake()))
    }

    /// Returns the topic called `name`.
    pub(crate) fn topic(&self, name: &str) -> Option<&FlowTopic> {
        self.topics.iter().find(|topic| topic.name == name)
    }
}

impl FlowPipeline {
    /// Returns the id of the task that reads `partition`.
    pub(crate) fn task(&self, partition: u32) -> TaskId {
        processor_task(&self.name, partition)
    }
}

/// Returns the name that the processor tasks of a pipeline share.
pub(crate) fn processor_group(pipeline: &str) -> TaskId {
    let id = format!("{APP}.{pipeline}.clean");
    TaskId::new(&id).expect("names of pipelines are checked and bounded")
}

/// Returns the id of the processor task of a pipeline's partition.
pub(crate) fn processor_task(pipeline: &str, partition: u32) -> TaskId {
    let id = format!("{APP}.{pipeline}.clean.{partition}");
    TaskId::new(&id).expect("names of pipelines are checked and bounded")
}

/// Returns the name that the tasks of a sink share.
pub(crate) fn sink_name(sink: &str) -> TaskId {
    let id = format!("{APP}.{sink}.sink");
    TaskId::new(&id).expect("names of sinks are checked and bounded")
}

/// Returns the id of the sink task of a sink's partition.
pub(crate) fn sink_task(sink: &str, partition: u32) -> TaskId {
    let id = format!("{APP}.{sink}.sink.{partition}");
    TaskId::new(&id).expect("names of sinks are checked and bounded")
}

/// Returns a topic's name that was checked when the configuration was.
pub(crate) fn topic_name(name: &str) -> io::Result<TopicName> {
    TopicName::new(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
