//! What only the whole configuration shows: names that must match, loops, and limits of one part
//! that another part must respect.

use std::collections::{BTreeMap, BTreeSet};

use millstream_lake::{PartitionBy, TableName};
use millstream_model::{ByteSize, TopicName};
use millstream_pipeline::ColumnType;

use super::problem::{Problems, closest, did_you_mean};
use super::source::Located;
use super::units::format_duration;
use super::{Config, PipelineSpec, SinkSpec};

mod on_kafka;

/// The most tasks that clean in a node on the journal, which owns all of them.
const TASKS_MAX: u32 = 64;

/// Whether all that the file says of topics, pipelines and sinks could be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// All of it.
    Whole,
    /// A part is missing, and that is reported: what refers to it is not at fault.
    Broken,
}

/// Checks the whole.
pub(super) fn check(config: &Config, flow: Flow, problems: &Problems) {
    for pipeline in &config.pipelines {
        pipeline_topics_differ(pipeline, problems);
        state_is_kept_once(pipeline, problems);
    }
    for sink in &config.sinks {
        partition_column_is_a_time(sink, problems);
        rows_are_committed_in_time(sink, problems);
    }
    if !config.is_replicated {
        events_fit_the_log(config, problems);
    }
    if let Some(kafka) = &config.kafka {
        on_kafka::check(config, kafka, problems);
    }
    if flow == Flow::Whole {
        check_flow(config, problems);
    }
}

/// Checks how topics, pipelines and sinks fit together.
fn check_flow(config: &Config, problems: &Problems) {
    topics_exist(config, problems);
    for pipeline in &config.pipelines {
        dead_letter_topic_is_its_own(config, pipeline, problems);
    }
    pipelines_do_not_loop(config, problems);
    changelogs_are_their_own(config, problems);
    for sink in &config.sinks {
        sink_reads_what_is_written(config, sink, problems);
    }
    old_names_are_free(config, problems);
    tables_have_one_sink(config, problems);
    match &config.kafka {
        Some(kafka) => on_kafka::tasks_fit(config, kafka, problems),
        None => tasks_fit(config, problems),
    }
}

/// Every topic that is used is declared.
fn topics_exist(config: &Config, problems: &Problems) {
    let declared: Vec<&str> = config.topics.iter().map(|topic| topic.name.value.as_str()).collect();
    let require = |used: &Located<TopicName>| {
        let name = used.value.as_str();
        if !declared.contains(&name) {
            let hint = declare_it(name, &declared);
            let message = format!("topic `{name}` is not declared");
            problems.add_with_hint(used.at, &used.path, message, hint);
        }
    };
    for pipeline in &config.pipelines {
        require(&pipeline.from);
        require(&pipeline.to);
        require(&pipeline.dead_letters);
    }
    for sink in &config.sinks {
        require(&sink.from);
    }
    let collected = &config.collector.topic;
    if !declared.contains(&collected.as_str()) {
        let at = config.places.collector_topic;
        let hint = declare_it(collected, &declared);
        let message = format!("topic `{collected}` is not declared");
        problems.add_with_hint(at, "collector.topic", message, hint);
    }
}

fn declare_it(name: &str, declared: &[&str]) -> String {
    match closest(name, declared) {
        Some(candidate) => format!("did you mean `{candidate}`? If not, declare it under `topics`"),
        None => format!("declare it under `topics`, which has {}", declared.join(", ")),
    }
}

/// A pipeline does not read what it writes itself.
fn pipeline_topics_differ(pipeline: &PipelineSpec, problems: &Problems) {
    let PipelineSpec { from, to, dead_letters, .. } = pipeline;
    if to.value == dead_letters.value {
        let message = format!("`{}` is also where the clean events go", to.value);
        let hint = "give what is rejected a topic of its own, as in `events-dead`";
        problems.add_with_hint(dead_letters.at, &dead_letters.path, message, hint);
    }
    if from.value == dead_letters.value {
        let message = format!("`{}` is also what the pipeline reads: a loop", from.value);
        problems.add(dead_letters.at, &dead_letters.path, message);
    }
}

/// One step of a pipeline keeps state, under a name that stays.
fn state_is_kept_once(pipeline: &PipelineSpec, problems: &Problems) {
    let mut with_state = pipeline.steps.iter().filter(|step| step.value.keeps_state());
    let Some(first) = with_state.next() else { return };
    for step in with_state {
        let kind = step.value.kind();
        let message = format!("`{kind}` keeps state, and a pipeline has one such step");
        let hint = "put it into a pipeline of its own, behind this one";
        problems.add_with_hint(step.at, &step.path, message, hint);
    }
    if let Some(old) = &pipeline.renamed_from {
        let kind = first.value.kind();
        let message = format!("a pipeline with `{kind}` keeps its name");
        let hint = format!(
            "what it remembers stands in topic `{}-{kind}-changelog`; take the step out, start \
             once, and put it back: it then begins with nothing to remember",
            old.value
        );
        problems.add_with_hint(old.at, &old.path, message, hint);
    }
}

/// Nobody else uses the topic of a changelog, which nobody declares.
fn changelogs_are_their_own(config: &Config, problems: &Problems) {
    for pipeline in &config.pipelines {
        let Some(changelog) = pipeline.changelog() else { continue };
        if let Some(topic) = config.topics.iter().find(|topic| topic.name.value == changelog) {
            let name = &pipeline.name.value;
            let message = format!("`{changelog}` is what pipeline `{name}` remembers");
            let hint = "give the topic another name: a changelog is created by itself";
            problems.add_with_hint(topic.name.at, &topic.name.path, message, hint);
        }
    }
}

/// A topic of dead letters takes nothing else: it may be filled further than others, so that
/// nothing rejected is dropped.
fn dead_letter_topic_is_its_own(config: &Config, pipeline: &PipelineSpec, problems: &Problems) {
    let dead_letters = &pipeline.dead_letters;
    if dead_letters.value.as_str() == config.collector.topic {
        let message = format!("`{}` is where the collector appends", dead_letters.value);
        match config.places.collector_topic_beside_the_default_flow() {
            None => problems.add(dead_letters.at, &dead_letters.path, message),
            // The pipeline stands in no file of the user's: what clashes with it does.
            Some(at) => {
                let message = format!(
                    "`{}` holds the dead letters of pipeline `{}`, which runs by default",
                    dead_letters.value, pipeline.name.value
                );
                let hint = "take another topic, or state `topics`, `pipelines` and `sinks`";
                problems.add_with_hint(at, "collector.topic", message, hint);
            }
        }
    }
    let other = config
        .pipelines
        .iter()
        .find(|other| other.name != pipeline.name && other.to.value == dead_letters.value);
    if let Some(other) = other {
        let message = format!(
            "`{}` is also where pipeline `{}` writes clean events",
            dead_letters.value, other.name.value
        );
        problems.add(dead_letters.at, &dead_letters.path, message);
    }
}

/// Following the clean topics never leads back.
fn pipelines_do_not_loop(config: &Config, problems: &Problems) {
    let mut next: BTreeMap<&TopicName, Vec<&PipelineSpec>> = BTreeMap::new();
    for pipeline in &config.pipelines {
        next.entry(&pipeline.from.value).or_default().push(pipeline);
    }
    for pipeline in &config.pipelines {
        let mut seen = BTreeSet::new();
        let mut open = vec![&pipeline.to.value];
        while let Some(topic) = open.pop() {
            if *topic == pipeline.from.value {
                let message = format!("events would come back to `{topic}`: a loop of pipelines");
                problems.add(pipeline.to.at, &pipeline.to.path, message);
                break;
            }
            if seen.insert(topic) {
                open.extend(next.get(topic).into_iter().flatten().map(|after| &after.to.value));
            }
        }
    }
}

/// What is renamed from a name takes over all that stands there: the name is gone, and nobody
/// else takes it over.
fn old_names_are_free(config: &Config, problems: &Problems) {
    let pipelines = config.pipelines.iter().map(|it| (&it.name, it.renamed_from.as_ref()));
    old_names_of(&pipelines.collect::<Vec<_>>(), "pipeline", problems);
    let sinks = config.sinks.iter().map(|it| (&it.name, it.renamed_from.as_ref()));
    old_names_of(&sinks.collect::<Vec<_>>(), "sink", problems);
}

/// A name, and the one before it.
type Renamed<'c> = (&'c Located<String>, Option<&'c Located<String>>);

fn old_names_of(all: &[Renamed<'_>], kind: &str, problems: &Problems) {
    for (at, (name, old)) in all.iter().enumerate() {
        let Some(old) = old.filter(|old| old.value != name.value) else { continue };
        if all.iter().any(|(other, _)| other.value == old.value) {
            let message = format!("{kind} `{}` is there still", old.value);
            let hint =
                format!("remove the key, or the {kind} whose positions are to be taken over");
            problems.add_with_hint(old.at, &old.path, message, hint);
        }
        let is_same = |other: &&Renamed<'_>| other.1.is_some_and(|it| it.value == old.value);
        if let Some((other, _)) = all[..at].iter().find(is_same) {
            let message = format!("{kind} `{}` is renamed from `{}` too", other.value, old.value);
            problems.add(old.at, &old.path, message);
        }
    }
}

/// The table is laid out by a column that exists, is a time, and that every row has.
fn partition_column_is_a_time(sink: &SinkSpec, problems: &Problems) {
    let Some(by) = &sink.partition_by else { return };
    let Some(wanted) = by.value.column().filter(|_| !sink.columns.is_empty()) else { return };
    let names: Vec<&str> = sink.columns.iter().map(|column| column.value.name.as_str()).collect();
    let found = sink.columns.iter().find(|column| column.value.name == wanted);
    let Some(column) = found else {
        let message = format!("column `{wanted}` is not among the columns");
        problems.add_with_hint(by.at, &by.path, message, did_you_mean(wanted, &names));
        return;
    };
    let fits = match (&by.value, column.value.column_type) {
        (PartitionBy::Day(_), ColumnType::Date) => true,
        (_, column_type) => column_type == ColumnType::Timestamptz,
    };
    if !fits {
        let found = column.value.column_type.as_str();
        let message = format!("column `{wanted}` is {found}; a timestamptz is needed");
        problems.add(by.at, &by.path, message);
    } else if !column.value.required {
        let message = format!("column `{wanted}` may be null; a partition needs a value");
        problems.add_with_hint(by.at, &by.path, message, "add `required: true` to the column");
    }
}

/// A sink reads a topic that something writes, and no dead letters.
fn sink_reads_what_is_written(config: &Config, sink: &SinkSpec, problems: &Problems) {
    let from = &sink.from;
    let declared = config.topics.iter().any(|topic| topic.name.value == from.value);
    let is_written = config.pipelines.iter().any(|pipeline| pipeline.to.value == from.value);
    let is_dead = config.pipelines.iter().any(|pipeline| pipeline.dead_letters.value == from.value);
    if is_dead {
        let message = format!("`{}` holds dead letters, which fit no table", from.value);
        problems.add_with_hint(from.at, &from.path, message, "`millstream dlq` lists them");
    } else if declared && !is_written {
        let message = format!("no pipeline writes to topic `{}`", from.value);
        let hint = "name the topic that a pipeline has as `to`; its events fit the table";
        problems.add_with_hint(from.at, &from.path, message, hint);
    }
}

/// Rows are committed before they are too old to be: else the sink would stage them again, for
/// ever.
fn rows_are_committed_in_time(sink: &SinkSpec, problems: &Problems) {
    let worker = &sink.worker;
    let age = worker.commit_interval + worker.commit_time_max;
    let age_max = sink.commit_age_max();
    if age > age_max {
        let [interval, time, half] =
            [worker.commit_interval, worker.commit_time_max, age_max].map(format_duration);
        let message = format!(
            "rows of {interval} (`commit_interval`) and {time} (`commit_time_max`) are too old to \
             be committed: together at most half of `stage_max` ({half})"
        );
        let hint = "raise `stage_max`, or commit more often";
        let path = format!("sinks.{}.commit_interval", sink.name.value);
        problems.add_with_hint(sink.commit_interval_at, &path, message, hint);
    }
}

/// A table has one committer, and a topic of events one schema.
fn tables_have_one_sink(config: &Config, problems: &Problems) {
    let mut tables: BTreeMap<&TableName, &SinkSpec> = BTreeMap::new();
    let mut topics: BTreeMap<&TopicName, &SinkSpec> = BTreeMap::new();
    for sink in &config.sinks {
        if let Some(first) = tables.insert(&sink.table.value, sink) {
            let message =
                format!("table `{}` is filled by sink `{}`", sink.table.value, first.name.value);
            problems.add(sink.table.at, &sink.table.path, message);
        }
        if let Some(first) = topics.insert(&sink.from.value, sink) {
            let message =
                format!("topic `{}` is read by sink `{}`", sink.from.value, first.name.value);
            let hint = "a topic carries the schema of one table; let a second pipeline feed the \
                        other sink";
            problems.add_with_hint(sink.from.at, &sink.from.path, message, hint);
        }
    }
}

/// A node owns a bounded number of tasks that clean, and in all no more than its log opens.
fn tasks_fit(config: &Config, problems: &Problems) {
    let mut sum = 0;
    for pipeline in &config.pipelines {
        let before = sum;
        sum += config.partitions(&pipeline.from.value);
        if before <= TASKS_MAX && sum > TASKS_MAX {
            let message =
                format!("{sum} partitions to clean; a node has at most {TASKS_MAX} tasks");
            problems.add(pipeline.from.at, &pipeline.from.path, message);
        }
    }
    let froms = config.pipelines.iter().map(|pipeline| &pipeline.from);
    let froms = froms.chain(config.sinks.iter().map(|sink| &sink.from));
    let tasks: u32 = froms.clone().map(|from| config.partitions(&from.value)).sum();
    let tasks_max = config.log.tasks_max;
    let Some(last) = froms.last().filter(|_| tasks as usize > tasks_max) else { return };
    let message = format!(
        "there are {tasks} tasks, one for each partition that a pipeline or a sink reads; the log \
         opens at most {tasks_max} (`log.tasks_max`)"
    );
    match config.places.tasks_max {
        Some(at) => problems.add(at, "log.tasks_max", message),
        None => problems.add(last.at, &last.path, message),
    }
}

/// The largest event the collector takes fits into one append and one transaction, headers and
/// all; what it merges fits into one append.
fn events_fit_the_log(config: &Config, problems: &Problems) {
    let (log, places) = (&config.log, &config.places);
    let event = config.collector.event_bytes_max;
    let limits = [
        ("transaction_bytes_max", log.transaction_bytes_max, places.transaction_bytes_max),
        ("batch_bytes_max", log.batch_bytes_max, places.batch_bytes_max),
    ];
    let is_exceeded = |(_, limit, _): &&(_, ByteSize, _)| event.bytes() > limit.bytes() / 2;
    if let Some((key, limit, limit_at)) = limits.iter().find(is_exceeded) {
        let message = format!(
            "events of {event} do not fit: at most half of `log.{key}` ({limit}), so that an event \
             fits with its headers",
        );
        let at = places.event_bytes_max.or(*limit_at).unwrap_or_default();
        problems.add(at, "collector.event_bytes_max", message);
    }
    let append = config.collector.append_bytes_max;
    if append > log.batch_bytes_max {
        let message = format!(
            "appends of {append} do not fit: at most `log.batch_bytes_max` ({})",
            log.batch_bytes_max
        );
        let at = places.append_bytes_max.or(places.batch_bytes_max).unwrap_or_default();
        problems.add(at, "collector.append_bytes_max", message);
    }
}
