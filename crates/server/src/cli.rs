//! The command line: names, defaults and help. What a command does stands in `command/`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::parse_duration;
use crate::reset::Place;
use crate::roles::Role;
use crate::tap;

const EXAMPLES: &str = "\
Start here:
  millstream run                              the quickstart: no file, all defaults, ./data
  millstream demo --events 10000 --wait       post sample events and wait until they are stored
  millstream query \"SELECT event, count(*) FROM events GROUP BY event\"
  millstream reconcile                        is everything that was accepted accounted for?

Exit codes: 0 done, 1 not so, 64 usage, 65 bad data, 69 not available, 70 a bug of ours,
73 cannot create, 74 I/O, 75 try again, 77 no permission, 78 configuration.";

/// The data directory when nobody names one.
const DATA_DEFAULT: &str = "./data";

/// Takes behaviour events over HTTP, cleans them and puts each into a table, once and only once.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// What all commands understand.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What all commands understand.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The data directory of the node: journal, tables and `node.json`; without it `data` in the
    /// current directory, also when a node runs elsewhere.
    #[arg(long, global = true, value_name = "DIR", default_value = DATA_DEFAULT)]
    pub(crate) data: PathBuf,
    /// How results and errors are written: for people, or for machines.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    /// What is logged to stderr: `warn`, `info`, or per module as in `info,millstream_log=debug`.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How log lines are written.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,
}

impl Global {
    /// Returns the data directory as messages show it: which one it is, and whether it was named.
    pub(crate) fn data_shown(&self) -> String {
        // Without a current directory the relative path says all that is known.
        let path = std::path::absolute(&self.data).unwrap_or_else(|_| self.data.clone());
        match self.data_flag() {
            Some(_) => path.display().to_string(),
            None => format!("{} (the default, no --data was given)", path.display()),
        }
    }

    /// Returns the flag that names the data directory; `None` for the default.
    pub(crate) fn data_flag(&self) -> Option<String> {
        let is_default = self.data == std::path::Path::new(DATA_DEFAULT);
        (!is_default).then(|| format!("--data {}", self.data.display()))
    }

    /// Returns the line that runs a command on this data directory, as it works in this shell.
    pub(crate) fn command(&self, command: &str) -> String {
        let program = std::env::args_os().next();
        let program = program.map_or_else(
            || "millstream".to_owned(),
            |program| program.to_string_lossy().into_owned(),
        );
        match self.data_flag() {
            Some(flag) => format!("{program} {command} {flag}"),
            None => format!("{program} {command}"),
        }
    }
}

/// For people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people; may change.
    Text,
    /// JSON, stable.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node: collector, journal, cleaning and tables in one process.
    #[command(after_help = "\
Examples:
  millstream run
  millstream run -c millstream.yaml --data /var/lib/millstream
  millstream run --data ./second --listen 127.0.0.1:8081 --admin 127.0.0.1:9091
  millstream run -c on-kafka.yaml --roles clean,sink --data ./worker-2

The node drains and stops on SIGTERM and SIGINT; a second signal ends it at once.")]
    Run(RunArgs),
    /// Check a configuration file and show every mistake in it.
    #[command(after_help = "\
Examples:
  millstream validate -c millstream.yaml
  millstream validate -c millstream.yaml --format json

Exit code 78 when there is a mistake.")]
    Validate(ValidateArgs),
    /// Run a SQL query over the tables, beside a running node or without one.
    #[command(after_help = "\
Examples:
  millstream query \"SELECT event, count(*) FROM events GROUP BY event ORDER BY 2 DESC\"
  millstream query --format json \"SELECT * FROM events LIMIT 3\"
  millstream query \"SELECT _ms_partition, max(_ms_offset) FROM events GROUP BY 1\"")]
    Query(QueryArgs),
    /// Prove that everything accepted is stored, dead-lettered, filtered or on its way.
    #[command(after_help = "\
Examples:
  millstream reconcile
  millstream reconcile --deep --format json

Exit code 1 when the books do not balance. Asks the running node, or reads the data directory
itself when none runs.")]
    Reconcile(ReconcileArgs),
    /// Post sample events, some of them bad, to the running node.
    #[command(after_help = "\
Examples:
  millstream demo
  millstream demo --events 100000 --connections 8 --wait
  millstream demo --seed 7 --url http://127.0.0.1:8080/track")]
    Demo(DemoArgs),
    /// List dead letters: rejected events with the step, the field and the reason.
    #[command(after_help = "\
Examples:
  millstream dlq --limit 5
  millstream dlq --format json | jq -r .reason | sort | uniq -c
  millstream dlq -c on-kafka.yaml                     from Kafka, and from the spool here

What Kafka refused for good, the collector's spool keeps itself: `place` says spool there.

Oldest first, by the time of acceptance: the newest is the last line. Text cuts long values, JSON
gives them whole.")]
    Dlq(DlqArgs),
    /// Show the records of a topic as they come: offset, time, key, request, trace and value.
    #[command(after_help = "\
Examples:
  millstream tap events                               what comes from now on, until ctrl-c
  millstream tap events-clean --from 5m               the last five minutes, and on
  millstream tap events-dead --no-follow              all there is, then end
  millstream tap events --filter event=purchase --limit 10
  millstream tap events --from beginning --filter @request_id=4f2a --format json | jq .value

A filter is a text that the value must have in it, or FIELD=VALUE: a field of the event
(properties.channel=web), or @key, @request_id, @trace_parent (the whole of it, or the trace's id).
Records of all partitions come oldest first as far as they are there. Reading moves nothing: no
task's position, no retention. Text cuts long values, JSON gives one whole object a line.
Reads from the running node, or, when none runs, from the data directory, then without waiting;
with -c FILE from the Kafka cluster that the configuration names, node or not.")]
    Tap(TapArgs),
    /// Show how far each task is behind: position, end, and delay in records and in seconds.
    #[command(after_help = "\
Examples:
  millstream lag
  millstream lag --max-seconds 60 && echo \"nobody is a minute behind\"
  millstream lag --format json | jq '.[] | select(.delay_ms > 1000)'

The delay is the age of the oldest record that a task has not dealt with. Exit code 1 when
--max-seconds is given and a task is further behind, or cannot go on from its position. Where
offsets do not count records, as on Kafka, the distance is in offsets. Asks the running node, or
reads the data directory itself when none runs; with -c FILE the Kafka cluster that the
configuration names, wherever its nodes run.")]
    Lag(LagArgs),
    /// List the topics: kind, partitions, records and retention; or the partitions of one.
    #[command(after_help = "\
Examples:
  millstream topics
  millstream topics events                            where each partition begins and ends
  millstream topics --format json | jq -r .name
  millstream topics -c on-kafka.yaml                  of Kafka, where no node runs")]
    Topics(TopicsArgs),
    /// Let the collector's spool go on after Kafka was taken back to an older state.
    #[command(after_help = "\
Examples:
  millstream spool replay -c on-kafka.yaml --data /var/lib/millstream
  millstream spool replay -c on-kafka.yaml --accept-loss

Works when no node runs on the data directory. Events that Kafka lost and the journal still has
(`spool.keep`) are forwarded again by the next run.")]
    Spool(SpoolArgs),
    /// Choose where tasks go on that are refused where they stand.
    #[command(after_help = "\
Examples:
  millstream tasks reset -c on-kafka.yaml --sink events --from table --dry-run
  millstream tasks reset -c on-kafka.yaml --sink events --from beginning
  millstream tasks reset -c on-kafka.yaml --pipeline events --from beginning

For a topic that was created anew, a log that was restored from an older state, a table that was set
back. Works when no node runs on the data directory. Tasks that can go on are left alone.")]
    Tasks(TasksArgs),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration file; without one the quickstart runs.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the collector listens, in place of `collector.listen`; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where health, metrics and status are served, in place of `admin.listen`.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,
    /// What this node does, where Kafka is the log and other nodes do the rest; without it,
    /// everything.
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub(crate) roles: Vec<Role>,
}

/// Options of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The configuration file; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// Options of `query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The query.
    #[arg(value_name = "SQL")]
    pub(crate) sql: String,
}

/// Options of `reconcile`.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// Read the tables too: no row twice, rows equal to the count.
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many events to post.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) events: u64,
    /// How many events go into one request.
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) batch: u64,
    /// How many connections post at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 4,
          value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) connections: u64,
    /// The seed: the same seed posts the same events.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where to post; without it the node of the data directory.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Wait until every accepted event is stored or dead-lettered.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait for the node to take and to store the events.
    #[arg(long, value_name = "DURATION", default_value = "120 s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Options of `dlq`.
#[derive(Debug, Args)]
pub(crate) struct DlqArgs {
    /// How many dead letters to list, the newest ones.
    #[arg(long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) limit: u64,
    /// Only of this topic; without it of every dead-letter topic.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
    /// Read the Kafka cluster that this configuration names, and the spool of the data directory
    /// if no node runs on it, without asking a node.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Options of `tap`.
#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// The topic.
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,
    /// Where to begin: `beginning`, `end`, an offset, how long ago as in `5m`, or a time as in
    /// `2026-11-23T10:00:00Z`; without it `end`, or `beginning` where nothing is waited for.
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: Option<tap::From>,
    /// Only records with this TEXT in their value, or with this value in a field: FIELD=VALUE.
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<tap::Filter>,
    /// End after so many records.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Only this partition.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: Option<u32>,
    /// End when all is shown that was there at the start; do not wait for more.
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Read the Kafka cluster that this configuration names, without asking a node.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Options of `lag`.
#[derive(Debug, Args)]
pub(crate) struct LagArgs {
    /// Exit with 1 when a task is further behind than this.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_seconds: Option<u64>,
    /// Read the Kafka cluster that this configuration names, without asking a node.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Options of `topics`.
#[derive(Debug, Args)]
pub(crate) struct TopicsArgs {
    /// Only this topic, with its partitions.
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
    /// Read the Kafka cluster that this configuration names, without asking a node.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Options of `spool`.
#[derive(Debug, Args)]
pub(crate) struct SpoolArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SpoolCommand,
}

/// What to do with the spool.
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Go on from where Kafka stands, and forward again what it lost.
    Replay(ReplayArgs),
}

/// Options of `spool replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The configuration file of the node.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Go on without events that Kafka lost and the journal no longer has.
    #[arg(long)]
    pub(crate) accept_loss: bool,
}

/// Options of `tasks`.
#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TasksCommand,
}

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// Let tasks that are refused where they stand go on elsewhere.
    Reset(ResetArgs),
}

/// Options of `tasks reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// The configuration file of the node; without one the quickstart.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The tasks of this pipeline.
    #[arg(long, value_name = "NAME", conflicts_with = "sink", required_unless_present = "sink")]
    pub(crate) pipeline: Option<String>,
    /// The tasks of this sink.
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Where they go on.
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: Place,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a whole number and a unit, as in `60 s`".to_owned())
}
