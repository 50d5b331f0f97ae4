//! The role `clean`: one processor task for each partition that a pipeline reads.

use std::sync::Arc;

use millstream_log::Log;
use millstream_model::{ByteSize, TopicPartition};
use millstream_pipeline::event::Limits;
use millstream_pipeline::processor::{Settings, Surroundings};
use millstream_pipeline::{PinnedTask, Processor, TaskStatus, Worker, cleaner, processor, worker};
use millstream_runtime::{Clock, Rng, TaskKind};
use tokio::sync::watch;

use super::Built;
use crate::config::{Config, PipelineSpec};
use crate::exit::{Code, Failure};
use crate::flow::processor_task;

/// Builds the tasks of every pipeline.
pub(crate) fn build(config: &Config, log: &Arc<dyn Log>) -> Result<Built, Failure> {
    let mut tasks = Vec::new();
    let mut statuses = Vec::new();
    for pipeline in &config.pipelines {
        for partition in 0..config.partitions(&pipeline.from.value) {
            let settings = settings(config, pipeline, partition);
            let (task, status) = task(settings, log, partition)?;
            tasks.push(task);
            statuses.push(status);
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Built { worker: Worker::new(worker::Settings { threads }, tasks), statuses })
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
        cleaner: cleaner::Settings {
            pipeline: name.value.clone(),
            steps: steps.iter().map(|step| step.value.clone()).collect(),
            schema: sink.and_then(|sink| sink.schema.clone()),
            limits: Limits::default(),
            input_partitions: config.partitions(&from.value),
            output_partitions: config.partitions(&to.value),
        },
        keeping: None,
        // The journal syncs the transactions of all tasks together: waiting gains nothing.
        transaction_interval: std::time::Duration::ZERO,
        config: fitting(worker, config.log.transaction_bytes_max),
    }
}

/// Lets a pipeline's transactions be no larger than the log takes.
fn fitting(worker: &processor::Config, log_max: ByteSize) -> processor::Config {
    processor::Config {
        transaction_bytes_max: worker.transaction_bytes_max.min(log_max),
        batch_bytes_max: worker.batch_bytes_max.min(log_max),
        ..worker.clone()
    }
}

fn task(
    settings: Settings,
    log: &Arc<dyn Log>,
    partition: u32,
) -> Result<(PinnedTask, watch::Receiver<TaskStatus>), Failure> {
    let surroundings =
        Surroundings { log: Arc::clone(log), clock: Clock::system(), rng: Rng::from_os() };
    let name = settings.task.to_string();
    let (processor, status) = Processor::new(settings, surroundings)
        .map_err(|error| Failure::new(Code::Config, error))?;
    let task = PinnedTask {
        name,
        kind: TaskKind("processor"),
        pin: partition,
        start: Box::new(move |cx| Box::pin(async move { processor.run(&cx).await })),
    };
    Ok((task, status))
}
