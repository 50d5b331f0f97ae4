//! The configuration of a node: one YAML file, decoded with the place of every mistake.
//!
//! ```text
//!   text ─▶ yaml (nodes with places) ─▶ interpolate (${VAR}) ─▶ sections ─▶ check ─▶ Config
//!             │ a syntax error alone        │                      │           │
//!             ▼                             ▼ ───── all problems at once ───── ▼
//! ```
//!
//! Ranges stand in the crates that own the structs; what only the whole shows (a topic that is
//! used and not declared, a loop of pipelines) stands in [`check`]. Without a file the quickstart
//! runs; it is a file too, compiled in, so that what users read is what runs.

use millstream_model::TopicName;

mod admin;
mod check;
mod collector;
mod filters;
mod interpolate;
mod kafka;
mod lake;
mod log;
mod pipelines;
mod problem;
mod section;
mod sinks;
mod source;
mod spool;
mod steps;
mod topics;
mod units;
mod value;
mod yaml;

pub(crate) use admin::AdminConfig;
pub(crate) use lake::LakeConfig;
pub(crate) use pipelines::PipelineSpec;
pub(crate) use problem::{Colour, InvalidConfig};
pub(crate) use sinks::SinkSpec;
pub(crate) use source::{Located, Source};
pub(crate) use spool::SpoolConfig;
pub(crate) use topics::TopicSpec;
pub(crate) use units::{format_duration, parse_duration};

use problem::Problems;
use source::Span;
use value::{Keys, Value};

/// The quickstart: what runs when there is no file.
pub(crate) const QUICKSTART: &str = include_str!("../../../examples/quickstart.yaml");

/// The largest configuration file, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything a node is told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The HTTP intake.
    pub(crate) collector: millstream_collector::Config,
    /// Health, metrics and status.
    pub(crate) admin: AdminConfig,
    /// The embedded journal; the collector's spool where Kafka is the log.
    pub(crate) log: millstream_log::journal::Config,
    /// The cluster that is the log in place of the journal.
    pub(crate) kafka: Option<millstream_log_kafka::Config>,
    /// Whether an event is accepted only when the replicas of Kafka have it.
    pub(crate) is_replicated: bool,
    /// How the collector's journal is forwarded to the cluster.
    pub(crate) spool: SpoolConfig,
    /// Where the tables lie.
    pub(crate) lake: LakeConfig,
    /// The topics.
    pub(crate) topics: Vec<TopicSpec>,
    /// From topic to topic.
    pub(crate) pipelines: Vec<PipelineSpec>,
    /// From topic to table.
    pub(crate) sinks: Vec<SinkSpec>,
    /// Where some keys stand that other parts must agree with.
    places: Places,
}

/// Places of keys, for messages about how parts fit together.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    collector_topic: Span,
    /// Whether topics, pipelines and sinks are the quickstart's: their places are not in the file.
    is_flow_default: bool,
    event_bytes_max: Option<Span>,
    append_bytes_max: Option<Span>,
    batch_bytes_max: Option<Span>,
    transaction_bytes_max: Option<Span>,
    tasks_max: Option<Span>,
    on_kafka: PlacesOnKafka,
}

/// The same in the section `kafka`.
#[derive(Debug, Clone, Copy, Default)]
struct PlacesOnKafka {
    tasks_max: Option<Span>,
    record_bytes_max: Option<Span>,
    append_bytes_max: Option<Span>,
}

impl Places {
    /// Returns where the collector's topic stands, if the flow stands in no file.
    fn collector_topic_beside_the_default_flow(&self) -> Option<Span> {
        self.is_flow_default.then_some(self.collector_topic)
    }
}

impl Config {
    /// Returns the quickstart.
    pub(crate) fn quickstart() -> Self {
        let source = Source::new("quickstart.yaml", QUICKSTART);
        Self::parse(source, &|_| None).expect("a test parses the quickstart")
    }

    /// Returns the topic that the collector appends to, which is declared.
    pub(crate) fn topic_of_collector(&self) -> &TopicName {
        let declared = self.topics.iter().map(|topic| &topic.name.value);
        let mut found = declared.filter(|name| name.as_str() == self.collector.topic);
        found.next().expect("checked: the collector's topic is declared")
    }

    /// Returns the number of partitions of a topic; zero when it is not declared.
    pub(crate) fn partitions(&self, name: &TopicName) -> u32 {
        let topic = self.topics.iter().find(|topic| topic.name.value == *name);
        topic.map_or(0, |topic| topic.config.partitions)
    }

    /// Returns where a sink puts what does not fit its table: the dead letters of the first
    /// pipeline that feeds it.
    pub(crate) fn sink_dead_letters(&self, sink: &SinkSpec) -> &TopicName {
        let feeding = self.pipelines.iter().find(|pipeline| pipeline.to.value == sink.from.value);
        &feeding.expect("checked: a pipeline feeds each sink").dead_letters.value
    }

    /// Returns the sink that reads `topic`, whose schema the topic's events must fit.
    pub(crate) fn sink_of(&self, topic: &TopicName) -> Option<&SinkSpec> {
        self.sinks.iter().find(|sink| sink.from.value == *topic)
    }

    /// Decodes and checks a file's text; `lookup` answers for environment variables.
    pub(crate) fn parse(
        source: Source,
        lookup: interpolate::Lookup<'_>,
    ) -> Result<Self, InvalidConfig> {
        let problems = Problems::default();
        let mut root = match yaml::parse(&source, &problems) {
            Ok(root) => root,
            Err(problem) => return Err(InvalidConfig { source, problems: vec![problem] }),
        };
        interpolate::interpolate(&mut root, lookup, &problems);
        let decoded = decode(&Value::root(&root, &problems));
        if let Some((config, flow)) = &decoded {
            check::check(config, *flow, &problems);
        }
        match decoded {
            Some((config, _)) if problems.is_empty() => Ok(config),
            _ => Err(InvalidConfig { source, problems: problems.into_sorted() }),
        }
    }
}

/// Decodes the root. `collector`, `admin` and `log` have defaults for each key; `topics`,
/// `pipelines` and `sinks` belong together: a file that states one of them states them all.
fn decode(root: &Value<'_>) -> Option<(Config, check::Flow)> {
    let mut fields = root.fields()?;
    let collector = fields.take("collector");
    let admin = fields.take("admin");
    let log = fields.take("log");
    let kafka = fields.take("kafka");
    let spool = fields.take("spool");
    let lake = fields.take("lake");
    let flow = [fields.take("topics"), fields.take("pipelines"), fields.take("sinks")];
    let keys = fields.finish();
    // Where a section is misspelt it may be `kafka`.
    let is_on_kafka = kafka.is_some() || keys == Keys::Misspelt;

    let (mut config, whole) = if flow.iter().any(Option::is_some) {
        stated_flow(flow, keys)
    } else {
        // What stands in the quickstart does not stand in this file.
        let places = Places { is_flow_default: true, ..Places::default() };
        (Config { places, ..Config::quickstart() }, check::Flow::Whole)
    };
    // The collector's topic may be what is misspelt.
    let whole = if keys == Keys::Misspelt { check::Flow::Broken } else { whole };
    if let Some(value) = collector {
        config.places = Places {
            collector_topic: value.place_of("topic"),
            event_bytes_max: value.place_of_key("event_bytes_max"),
            append_bytes_max: value.place_of_key("append_bytes_max"),
            ..config.places
        };
        config.collector = collector::collector(&value).unwrap_or_default();
    }
    if let Some(admin) = admin.and_then(|value| admin::admin(&value)) {
        config.admin = admin;
    }
    if let Some(value) = log {
        config.places = Places {
            batch_bytes_max: value.place_of_key("batch_bytes_max"),
            transaction_bytes_max: value.place_of_key("transaction_bytes_max"),
            tasks_max: value.place_of_key("tasks_max"),
            ..config.places
        };
        let log = log::log(&value).unwrap_or_default();
        if log.is_replicated && !is_on_kafka {
            replicated_by_nobody(&value);
        }
        (config.log, config.is_replicated) = (log.journal, log.is_replicated);
    }
    if let Some(lake) = lake.and_then(|value| lake::lake(&value)) {
        config.lake = lake;
    }
    if let Some(value) = spool {
        if config.is_replicated || !is_on_kafka {
            spool_of_nobody(&value, config.is_replicated);
        }
        config.spool = spool::spool(&value).unwrap_or_default();
    }
    if let Some(value) = kafka {
        config.places.on_kafka = PlacesOnKafka {
            tasks_max: value.place_of_key("tasks_max"),
            record_bytes_max: value.place_of_key("record_bytes_max"),
            append_bytes_max: value.place_of_key("append_bytes_max"),
        };
        let dead_letters_retention = config.log.dead_letters_retention;
        config.kafka = kafka::kafka(&value)
            .map(|kafka| millstream_log_kafka::Config { dead_letters_retention, ..kafka });
    }
    Some((config, whole))
}

/// Reports that one disk replicates nothing.
fn replicated_by_nobody(log: &Value<'_>) {
    let problems = log.problems();
    let message = "`replicated` needs replicas, and the journal is one copy";
    let hint = "name the brokers of a cluster under `kafka`, or take `fsync`";
    problems.add_with_hint(log.place_of("durability"), "log.durability", message, hint);
}

/// Reports that there is no spool to which the section would say anything.
fn spool_of_nobody(spool: &Value<'_>, is_replicated: bool) {
    let (message, hint) = if is_replicated {
        let message = "nothing is spooled with `log.durability: replicated`";
        (message, "remove the section, or take `durability: fsync`")
    } else {
        let message = "without `kafka` the journal is the log, and no spool";
        (message, "remove the section, or name the brokers of a cluster under `kafka`")
    };
    spool.problem_at_name_with_hint(message, hint);
}

/// Decodes the flow that a file states; the rest is at its defaults.
fn stated_flow(
    [topics, pipelines, sinks]: [Option<Value<'_>>; 3],
    keys: Keys,
) -> (Config, check::Flow) {
    let stated = [&topics, &pipelines].map(|value| value.as_ref().map_or(0, Value::keys));
    if keys == Keys::Understood {
        let needs = |section: &str, user: &Option<Value<'_>>| {
            if let Some(user) = user {
                user.problem_at_name(format!("`{section}` is missing beside it"));
            }
        };
        match (&topics, &pipelines) {
            (None, Some(_)) => needs("topics", &pipelines),
            (None, None) => needs("topics", &sinks),
            (Some(_), None) => needs("pipelines", &sinks),
            (Some(_), Some(_)) => {}
        }
    }
    let is_missing = topics.is_none() || (pipelines.is_none() && sinks.is_some());
    let config = Config {
        topics: topics.and_then(|value| topics::topics(&value)).unwrap_or_default(),
        pipelines: pipelines.and_then(|value| pipelines::pipelines(&value)).unwrap_or_default(),
        sinks: sinks.and_then(|value| sinks::sinks(&value)).unwrap_or_default(),
        collector: millstream_collector::Config::default(),
        admin: AdminConfig::default(),
        log: millstream_log::journal::Config::default(),
        kafka: None,
        is_replicated: false,
        spool: SpoolConfig::default(),
        lake: LakeConfig::default(),
        places: Places::default(),
    };
    // Nothing refers to a sink, so one that is left out misleads nobody.
    let decoded = [config.topics.len(), config.pipelines.len()];
    let flow =
        if is_missing || decoded != stated { check::Flow::Broken } else { check::Flow::Whole };
    (config, flow)
}

#[cfg(test)]
mod tests;
