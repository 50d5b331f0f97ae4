//! The role `sink`: one worker for each table, for all the partitions of its topic.

use std::sync::Arc;

use millstream_lake::{IcebergSink, Seams};
use millstream_log::Log;
use millstream_model::TopicPartition;
use millstream_pipeline::processor::Surroundings;
use millstream_pipeline::sink::{Settings, SinkTask};
use millstream_pipeline::{PinnedTask, SinkWorker, TaskStatus, Worker, worker};
use millstream_runtime::{Clock, Rng, TaskKind};
use tokio::sync::watch;

use super::Built;
use crate::config::{Config, SinkSpec};
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::{sink_name, sink_task};

/// Builds the worker of every sink.
pub(crate) fn build(config: &Config, log: &Arc<dyn Log>, data: &DataDir) -> Result<Built, Failure> {
    let mut tasks = Vec::new();
    let mut statuses = Vec::new();
    for (number, spec) in (0..).zip(&config.sinks) {
        let sink = iceberg(spec, data)?;
        let surroundings =
            Surroundings { log: Arc::clone(log), clock: Clock::system(), rng: Rng::from_os() };
        let (task, status) = task(settings(config, spec), sink, surroundings, number);
        tasks.push(task);
        statuses.push(status);
    }
    // Commits wait for the disk: each sink has a thread of its own.
    let threads = tasks.len().max(1);
    Ok(Built { worker: Worker::new(worker::Settings { threads }, tasks), statuses })
}

fn iceberg(spec: &SinkSpec, data: &DataDir) -> Result<IcebergSink, Failure> {
    let missing = || Failure::message(Code::Bug, "a sink without columns passed the checks");
    let config = spec.table_config().ok_or_else(missing)?;
    let settings = millstream_lake::Settings {
        name: spec.name.value.clone(),
        dir: data.lake(),
        seams: Seams::default(),
    };
    IcebergSink::new(config, settings).map_err(|error| Failure::new(Code::Config, error))
}

fn settings(config: &Config, spec: &SinkSpec) -> Settings {
    let from = &spec.from.value;
    let dead_letters = config.sink_dead_letters(spec);
    let name = &spec.name.value;
    let task = |partition| SinkTask {
        task: sink_task(name, partition),
        renamed_from: spec.renamed_from.as_ref().map(|old| sink_task(&old.value, partition)),
        input: TopicPartition::new(from.clone(), partition),
    };
    Settings {
        name: sink_name(name),
        sink: name.clone(),
        tasks: (0..config.partitions(from)).map(task).collect(),
        dead_letters: dead_letters.clone(),
        dead_letter_partitions: config.partitions(dead_letters),
        config: spec.worker.clone(),
    }
}

fn task(
    settings: Settings,
    sink: IcebergSink,
    surroundings: Surroundings,
    pin: u32,
) -> (PinnedTask, watch::Receiver<TaskStatus>) {
    let name = settings.name.to_string();
    let (worker, status) = SinkWorker::new(settings, sink, surroundings);
    let task = PinnedTask {
        name,
        kind: TaskKind("sink"),
        pin,
        start: Box::new(move |cx| Box::pin(async move { worker.run(&cx).await })),
    };
    (task, status)
}
