//! The role `sink`: one worker for each table, for all the partitions of its topic.

use std::path::Path;
use std::sync::Arc;

use millstream_lake::{ConfigError, IcebergSink, Seams};
use millstream_model::{TaskId, TopicPartition};
use millstream_pipeline::processor::Surroundings;
use millstream_pipeline::sink::{Settings, SinkTask};
use millstream_pipeline::worker::{Group, Grouping};
use millstream_pipeline::{PinnedTask, SinkWorker, Worker, worker};
use millstream_runtime::{Clock, Rng, TaskKind};

use crate::config::{Config, SinkSpec};
use crate::exit::{Code, Failure};
use crate::flow::{sink_name, sink_task};
use crate::logs::Logs;

/// Builds the worker of every sink.
pub(crate) fn build(config: &Config, logs: &Logs, lake: &Path) -> Result<Worker, Failure> {
    let group = |(number, spec)| group((config, spec), logs, lake, number);
    let groups: Vec<Group> = (0..).zip(&config.sinks).map(group).collect::<Result<_, Failure>>()?;
    // Commits wait for the disk: each sink has a thread of its own.
    let threads = groups.len().max(1);
    Ok(Worker::new(worker::Settings { threads }, groups))
}

fn group(
    (config, spec): (&Config, &SinkSpec),
    logs: &Logs,
    lake: &Path,
    pin: u32,
) -> Result<Group, Failure> {
    let template = settings(config, spec);
    let tasks: Vec<TaskId> = template.tasks.iter().map(|task| task.task.clone()).collect();
    let assignment = logs.assignment(&template.name, &spec.from.value, &tasks)?;
    let name = template.name.to_string();
    let iceberg = iceberg(spec, lake)?;
    // A sink that cannot be made is a mistake in the configuration: found now, not when placed.
    iceberg().map_err(|error| Failure::new(Code::Config, error))?;
    let log = logs.shared();
    let make = move |wanted: &[TaskId]| {
        let mut settings = template.clone();
        settings.tasks.retain(|task| wanted.contains(&task.task));
        let surroundings =
            Surroundings { log: Arc::clone(&log), clock: Clock::system(), rng: Rng::from_os() };
        Ok(task(settings, iceberg()?, surroundings, pin))
    };
    Ok(Group { name, assignment, grouping: Grouping::Together, make: Box::new(make) })
}

/// Makes the same sink as often as it is asked to.
pub(crate) fn iceberg(
    spec: &SinkSpec,
    lake: &Path,
) -> Result<impl Fn() -> Result<IcebergSink, ConfigError> + Send + 'static, Failure> {
    let missing = || Failure::message(Code::Bug, "a sink without columns passed the checks");
    let config = spec.table_config().ok_or_else(missing)?;
    let (name, dir) = (spec.name.value.clone(), lake.to_owned());
    Ok(move || {
        let settings = millstream_lake::Settings {
            name: name.clone(),
            dir: dir.clone(),
            seams: Seams::default(),
        };
        IcebergSink::new(config.clone(), settings)
    })
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

fn task(settings: Settings, sink: IcebergSink, surroundings: Surroundings, pin: u32) -> PinnedTask {
    let name = settings.name.to_string();
    let (worker, status) = SinkWorker::new(settings, sink, surroundings);
    PinnedTask {
        name,
        kind: TaskKind("sink"),
        pin,
        status,
        start: Box::new(move |cx| Box::pin(async move { worker.run(&cx).await })),
    }
}
