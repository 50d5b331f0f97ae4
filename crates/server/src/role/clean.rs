//! The role `clean`: one processor task for each partition that a pipeline reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_log::Log;
use millstream_model::{TaskId, TopicPartition};
use millstream_pipeline::event::Limits;
use millstream_pipeline::processor::{Keeping, Settings, Surroundings};
use millstream_pipeline::worker::{Group, Grouping, MakeError};
use millstream_pipeline::{Cleaner, PinnedTask, Processor, Worker, cleaner, processor, worker};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Rng, TaskKind};
use millstream_state::SnapshotDir;

use crate::config::{Config, PipelineSpec};
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::{processor_group, processor_task};
use crate::logs::Logs;

/// Builds the tasks of every pipeline.
pub(crate) fn build(config: &Config, logs: &Logs, data: &DataDir) -> Result<Worker, Failure> {
    let group = |pipeline| group(config, pipeline, logs, data);
    let groups = config.pipelines.iter().map(group).collect::<Result<_, _>>()?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Worker::new(worker::Settings { threads }, groups))
}

fn group(
    config: &Config,
    pipeline: &PipelineSpec,
    logs: &Logs,
    data: &DataDir,
) -> Result<Group, Failure> {
    let mut tasks: BTreeMap<TaskId, Settings> = BTreeMap::new();
    let mut ids = Vec::new();
    for partition in 0..config.partitions(&pipeline.from.value) {
        let mut settings = settings(config, pipeline, partition, logs);
        settings.keeping = keeping(pipeline, &settings.task, data);
        // Steps that do not compile are a mistake in the configuration: found now, not when the
        // task is placed.
        Cleaner::new(&settings.cleaner).map_err(|error| Failure::new(Code::Config, error))?;
        ids.push(settings.task.clone());
        tasks.insert(settings.task.clone(), settings);
    }
    let group = processor_group(&pipeline.name.value);
    let assignment = logs.assignment(&group, &pipeline.from.value, &ids)?;
    let log = logs.shared();
    let make = move |wanted: &[TaskId]| {
        let settings = wanted.first().and_then(|task| tasks.get(task)).cloned();
        task(settings.ok_or("the assignment names a task of another pipeline")?, &log)
    };
    Ok(Group {
        name: group.to_string(),
        assignment,
        grouping: Grouping::Each,
        make: Box::new(make),
    })
}

fn settings(config: &Config, pipeline: &PipelineSpec, partition: u32, logs: &Logs) -> Settings {
    let PipelineSpec { name, renamed_from, from, steps, to, dead_letters, worker, .. } = pipeline;
    let old_name = renamed_from.as_ref();
    let sink = config.sink_of(&to.value);
    Settings {
        task: processor_task(&name.value, partition),
        renamed_from: old_name.map(|old| processor_task(&old.value, partition)),
        input: TopicPartition::new(from.value.clone(), partition),
        output: to.value.clone(),
        dead_letters: dead_letters.value.clone(),
        dead_letter_partitions: config.partitions(&dead_letters.value),
        keeping: None,
        cleaner: cleaner::Settings {
            pipeline: name.value.clone(),
            steps: steps.iter().map(|step| step.value.clone()).collect(),
            schema: sink.and_then(|sink| sink.schema.clone()),
            limits: Limits::default(),
            input_partitions: config.partitions(&from.value),
            output_partitions: config.partitions(&to.value),
        },
        transaction_interval: logs.transaction_interval(),
        config: fitting(worker, config),
    }
}

/// Returns where the state of a task is kept, if a step of its pipeline keeps state.
fn keeping(pipeline: &PipelineSpec, task: &TaskId, data: &DataDir) -> Option<Keeping> {
    let snapshots = SnapshotDir::new(Arc::new(RealDisk), data.state(task));
    Some(Keeping::new(pipeline.changelog()?, Some(snapshots)))
}

/// Lets a pipeline's transactions be no larger, and take no longer, than the log allows.
fn fitting(worker: &processor::Config, config: &Config) -> processor::Config {
    let (bytes_max, time_max) = match &config.kafka {
        Some(kafka) => (kafka.transaction_bytes_max, kafka.transaction_time_max),
        None => (config.log.transaction_bytes_max, worker.transaction_time_max),
    };
    processor::Config {
        transaction_bytes_max: worker.transaction_bytes_max.min(bytes_max),
        batch_bytes_max: worker.batch_bytes_max.min(bytes_max),
        transaction_time_max: worker.transaction_time_max.min(time_max),
        ..worker.clone()
    }
}

fn task(settings: Settings, log: &Arc<dyn Log>) -> Result<PinnedTask, MakeError> {
    let surroundings =
        Surroundings { log: Arc::clone(log), clock: Clock::system(), rng: Rng::from_os() };
    let name = settings.task.to_string();
    let pin = settings.input.partition.0;
    let (processor, status) = Processor::new(settings, surroundings)?;
    Ok(PinnedTask {
        name,
        kind: TaskKind("processor"),
        pin,
        status,
        start: Box::new(move |cx| Box::pin(async move { processor.run(&cx).await })),
    })
}
