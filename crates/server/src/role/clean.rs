//! The role `clean`: one processor task for each partition that a pipeline reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{EveryTask, Log};
use millstream_model::{ByteSize, TaskId, TopicPartition};
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
use crate::flow::processor_task;

/// Builds the tasks of every pipeline.
pub(crate) fn build(
    config: &Config,
    log: &Arc<dyn Log>,
    data: &DataDir,
) -> Result<Worker, Failure> {
    let group = |pipeline| group(config, pipeline, log, data);
    let groups = config.pipelines.iter().map(group).collect::<Result<_, _>>()?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Worker::new(worker::Settings { threads }, groups))
}

fn group(
    config: &Config,
    pipeline: &PipelineSpec,
    log: &Arc<dyn Log>,
    data: &DataDir,
) -> Result<Group, Failure> {
    let mut tasks: BTreeMap<TaskId, Settings> = BTreeMap::new();
    for partition in 0..config.partitions(&pipeline.from.value) {
        let mut settings = settings(config, pipeline, partition);
        settings.keeping = keeping(pipeline, &settings.task, data);
        // Steps that do not compile are a mistake in the configuration: found now, not when the
        // task is placed.
        Cleaner::new(&settings.cleaner).map_err(|error| Failure::new(Code::Config, error))?;
        tasks.insert(settings.task.clone(), settings);
    }
    let assignment = Box::new(EveryTask::new(tasks.keys().cloned().collect()));
    let log = Arc::clone(log);
    let make = move |wanted: &[TaskId]| {
        let settings = wanted.first().and_then(|task| tasks.get(task)).cloned();
        task(settings.ok_or("the assignment names a task of another pipeline")?, &log)
    };
    let name = format!("{}.clean", pipeline.name.value);
    Ok(Group { name, assignment, grouping: Grouping::Each, make: Box::new(make) })
}

fn settings(config: &Config, pipeline: &PipelineSpec, partition: u32) -> Settings {
    let PipelineSpec { name, renamed_from, from, steps, to, dead_letters, worker } = pipeline;
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
        // The journal syncs the transactions of all tasks together: waiting gains nothing.
        transaction_interval: Duration::ZERO,
        config: fitting(worker, config.log.transaction_bytes_max),
    }
}

/// Returns where the state of a task is kept, if a step of its pipeline keeps state.
fn keeping(pipeline: &PipelineSpec, task: &TaskId, data: &DataDir) -> Option<Keeping> {
    let snapshots = SnapshotDir::new(Arc::new(RealDisk), data.state(task));
    Some(Keeping::new(pipeline.changelog()?, Some(snapshots)))
}

/// Lets a pipeline's transactions be no larger than the log takes.
fn fitting(worker: &processor::Config, log_max: ByteSize) -> processor::Config {
    processor::Config {
        transaction_bytes_max: worker.transaction_bytes_max.min(log_max),
        batch_bytes_max: worker.batch_bytes_max.min(log_max),
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
