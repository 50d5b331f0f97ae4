//! `spool replay`: lets the spool go on after Kafka was taken back to an older state.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::Log;
use millstream_model::Classify as _;
use millstream_pipeline::spool::replay::{Loss, Replay, replay};
use millstream_runtime::{Context, TaskKind, spawn_blocking};
use serde_json::json;

use crate::cli::{Format, Global, ReplayArgs, SpoolArgs, SpoolCommand};
use crate::command::offline::open_journal;
use crate::command::{refuse_running, validate};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::logs::connect;
use crate::output::{print, print_json};
use crate::role;

/// How long the journal and the cluster may take, all partitions together.
const REPLAY_TIME_MAX: Duration = Duration::from_secs(300);

/// Runs a command on the spool of a data directory on which no node runs.
pub(crate) async fn run(global: &Global, args: &SpoolArgs) -> Result<Code, Failure> {
    match &args.command {
        SpoolCommand::Replay(args) => run_replay(global, args).await,
    }
}

async fn run_replay(global: &Global, args: &ReplayArgs) -> Result<Code, Failure> {
    let Some(config) = validate::load(global.format, Some(&args.config))? else {
        return Ok(Code::Config);
    };
    let Some(kafka) = &config.kafka else {
        let message = "the configuration has no `kafka`: the journal is no spool";
        return Err(Failure::message(Code::Config, message));
    };
    let cx = Context::background().with_timeout(REPLAY_TIME_MAX);
    refuse_running(&cx, global).await?;
    let dir = DataDir::new(&global.data);
    let journal = open_journal(&cx, role::spool::journal_config(&config), &dir).await?;
    role::spool::check_is_one(&cx, &journal, &dir).await?;
    let replayed = match connect(&cx, kafka).await {
        Ok(remote) => {
            let loss = if args.accept_loss { Loss::Accept } else { Loss::Refuse };
            let local: Arc<dyn Log> = Arc::new(journal.clone());
            let replayed = replay_all(&cx, &config, &*local, &remote, loss).await;
            remote.close(&cx).await;
            replayed
        }
        Err(error) => Err(Failure::classified(error.class(), error)),
    };
    let closed = spawn_blocking(TaskKind("journal-close"), move || journal.close()).join().await;
    closed.map_err(|error| Failure::new(Code::Bug, error))?;
    say(global.format, &replayed?)
}

/// Replays partition by partition: what is done stays done, and running it again does the rest.
async fn replay_all(
    cx: &Context,
    config: &Config,
    local: &dyn Log,
    remote: &dyn Log,
    loss: Loss,
) -> Result<Vec<Replay>, Failure> {
    role::spool::ensure_topics(cx, config, local).await?;
    let mut replayed = Vec::new();
    for settings in role::spool::settings(cx, config, local).await? {
        let done = replay(cx, &settings, local, remote, loss).await;
        let done = done.map_err(|error| Failure::classified(error.class(), error))?;
        replayed.extend(done);
    }
    Ok(replayed)
}

fn say(format: Format, replayed: &[Replay]) -> Result<Code, Failure> {
    match format {
        Format::Text if replayed.is_empty() => {
            print("journal and cluster agree: nothing is to be replayed\n")?;
        }
        Format::Text => replayed.iter().try_for_each(|replay| print(&format!("{replay}\n")))?,
        Format::Json => {
            for Replay { partition, from, again, lost, is_torn } in replayed {
                print_json(&json!({
                    "topic": partition.topic.as_str(), "partition": partition.partition.0,
                    "from": from.0, "again": again, "lost": lost, "torn": is_torn,
                }))?;
            }
        }
    }
    Ok(Code::Done)
}
