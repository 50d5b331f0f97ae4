//! `tasks reset`: lets tasks go on that the log, or their table, refuses.

use std::time::Duration;

use millstream_lake::{Lake, Seams};
use millstream_log::Log;
use millstream_model::Classify as _;
use millstream_runtime::{Context, TaskKind, spawn_blocking};
use serde_json::json;

use crate::cli::{Format, Global, ResetArgs, TasksArgs, TasksCommand};
use crate::command::offline::open_journal;
use crate::command::{refuse_running, validate};
use crate::config::{Config, PipelineSpec, SinkSpec};
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::{processor_task, sink_task};
use crate::logs::connect;
use crate::output::{self, print, print_json};
use crate::reset::{PipelineReset, Place, ResetError, SinkReset, Step};
use crate::role;

/// How long the log and the table may take, all partitions together.
const RESET_TIME_MAX: Duration = Duration::from_secs(300);

/// Runs a command on the tasks of a configuration, when no node runs on the data directory.
pub(crate) async fn run(global: &Global, args: &TasksArgs) -> Result<Code, Failure> {
    match &args.command {
        TasksCommand::Reset(args) => run_reset(global, args).await,
    }
}

async fn run_reset(global: &Global, args: &ResetArgs) -> Result<Code, Failure> {
    let Some(config) = validate::load(global.format, args.config.as_deref())? else {
        return Ok(Code::Config);
    };
    let of = Of::find(&config, args)?;
    let cx = Context::background().with_timeout(RESET_TIME_MAX);
    refuse_running(&cx, global).await?;
    let dir = DataDir::new(&global.data);
    let lake = config.lake.path.clone().unwrap_or_else(|| dir.lake());
    let reset = Reset { config: &config, lake: &lake, args };
    let done = match &config.kafka {
        None => {
            let journal = open_journal(&cx, config.log.clone(), &dir).await?;
            let done = reset.run(&cx, &journal, of).await;
            let closed =
                spawn_blocking(TaskKind("journal-close"), move || journal.close()).join().await;
            closed.map_err(|error| Failure::new(Code::Bug, error))?;
            done
        }
        Some(kafka) => {
            let log = connect(&cx, kafka).await;
            let log = log.map_err(|error| Failure::classified(error.class(), error))?;
            let done = reset.run(&cx, &log, of).await;
            log.close(&cx).await;
            done
        }
    };
    say(global.format, args, &done?)
}

/// Whose tasks.
#[derive(Debug, Clone, Copy)]
enum Of<'c> {
    Pipeline(&'c PipelineSpec),
    Sink(&'c SinkSpec),
}

impl<'c> Of<'c> {
    fn find(config: &'c Config, args: &ResetArgs) -> Result<Self, Failure> {
        let unknown = |kind: &str, name: &str, known: Vec<&str>| {
            let message = format!("the configuration has no {kind} `{name}`");
            let known = known.join(", ");
            Failure::message(Code::Usage, message).with_hint(format!("it has: {known}"))
        };
        match (&args.pipeline, &args.sink) {
            (Some(name), _) => {
                if args.from == Place::Table {
                    let message = "a pipeline has no table";
                    let hint = "use --from beginning or --from end";
                    return Err(Failure::message(Code::Usage, message).with_hint(hint));
                }
                let mut pipelines = config.pipelines.iter();
                let found = pipelines.find(|pipeline| pipeline.name.value == *name);
                let names = || config.pipelines.iter().map(|one| one.name.value.as_str()).collect();
                let found = found.ok_or_else(|| unknown("pipeline", name, names()))?;
                not_renamed(found.renamed_from.as_ref()).map(|()| Of::Pipeline(found))
            }
            (None, name) => {
                let name = name.as_deref().unwrap_or_default();
                let found = config.sinks.iter().find(|sink| sink.name.value == *name);
                let names = || config.sinks.iter().map(|one| one.name.value.as_str()).collect();
                let found = found.ok_or_else(|| unknown("sink", name, names()))?;
                not_renamed(found.renamed_from.as_ref()).map(|()| Of::Sink(found))
            }
        }
    }
}

/// Refuses what still stands under an old name, or may do: opened under the new one it would never
/// be found there.
fn not_renamed(from: Option<&crate::config::Located<String>>) -> Result<(), Failure> {
    let Some(old) = from else { return Ok(()) };
    let message = format!("it is renamed from `{}`", old.value);
    Err(Failure::message(Code::Usage, message).with_hint(
        "reset it under its old name, or take `renamed_from` out once a node ran with it",
    ))
}

/// What came of it.
struct Done {
    /// Why the table itself was refused.
    table: Option<String>,
    steps: Vec<Step>,
}

struct Reset<'r> {
    config: &'r Config,
    lake: &'r std::path::Path,
    args: &'r ResetArgs,
}

impl Reset<'_> {
    async fn run(&self, cx: &Context, log: &dyn Log, of: Of<'_>) -> Result<Done, Failure> {
        match of {
            Of::Pipeline(pipeline) => self.pipeline(cx, log, pipeline).await,
            Of::Sink(sink) => self.sink(cx, log, sink).await,
        }
    }

    async fn pipeline(
        &self,
        cx: &Context,
        log: &dyn Log,
        spec: &PipelineSpec,
    ) -> Result<Done, Failure> {
        let topic = &spec.from.value;
        let task = |number| processor_task(&spec.name.value, number);
        let tasks = (0..self.config.partitions(topic)).map(task).collect();
        let reset = PipelineReset { log, topic, tasks, place: self.args.from };
        let steps = reset.plan(cx).await.map_err(failed)?;
        if !self.args.dry_run {
            reset.apply(cx, &steps).await.map_err(failed)?;
        }
        Ok(Done { table: None, steps })
    }

    async fn sink(&self, cx: &Context, log: &dyn Log, spec: &SinkSpec) -> Result<Done, Failure> {
        let lake = Lake::open(self.lake, Seams::default()).await;
        let lake = lake.map_err(|error| Failure::classified(error.class(), error))?;
        let topic = &spec.from.value;
        let task = |number| sink_task(&spec.name.value, number);
        let reset = SinkReset {
            log,
            lake: &lake,
            name: &spec.name.value,
            table: &spec.table.value,
            topic,
            tasks: (0..self.config.partitions(topic)).map(task).collect(),
            place: self.args.from,
        };
        let plan = reset.plan(cx).await.map_err(failed)?;
        if !self.args.dry_run && !plan.is_empty() {
            let iceberg = role::sink::iceberg(spec, self.lake)?();
            let iceberg = iceberg.map_err(|error| Failure::new(Code::Config, error))?;
            reset.apply(cx, &plan, iceberg).await.map_err(failed)?;
        }
        Ok(Done { table: plan.refused, steps: plan.steps })
    }
}

fn failed(error: ResetError) -> Failure {
    Failure::classified(error.class(), error)
}

fn say(format: Format, args: &ResetArgs, done: &Done) -> Result<Code, Failure> {
    let Done { table, steps } = done;
    if format == Format::Json {
        for step in steps {
            print_json(&json!({
                "task": step.task.to_string(), "topic": step.input.topic.as_str(),
                "partition": step.input.partition.0, "why": step.why,
                "stood": step.stood.map(|stood| stood.offset.0), "next": step.to.offset.0,
                "skipped": step.skipped(), "again": step.again(), "done": !args.dry_run,
            }))?;
        }
        return Ok(Code::Done);
    }
    if let Some(refused) = table {
        print(&format!("{refused}\n"))?;
    }
    if steps.is_empty() && table.is_none() {
        print("every task can go on from where it stands: nothing is to be reset\n")?;
    }
    steps.iter().try_for_each(|step| print(&format!("{step}\n")))?;
    if steps.is_empty() && table.is_none() {
        return Ok(Code::Done);
    }
    if args.dry_run {
        print("nothing was changed: this is what it does without --dry-run\n")?;
    } else {
        output::say("done: they go on from there when their nodes run");
    }
    Ok(Code::Done)
}
