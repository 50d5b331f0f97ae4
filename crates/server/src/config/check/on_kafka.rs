//! What a configuration on Kafka must fit: the limits of the cluster, where those of the journal say
//! nothing.

use millstream_log_kafka::Config as Kafka;
use millstream_model::ByteSize;

use super::super::Config;
use super::super::problem::Problems;
use super::super::units::format_duration;

/// What a record may have beside its event: its key, and the headers of a dead letter.
const KEY_AND_HEADERS_BYTES: ByteSize = ByteSize::kib(64);

/// Checks what does not depend on how topics, pipelines and sinks fit together.
pub(super) fn check(config: &Config, kafka: &Kafka, problems: &Problems) {
    events_fit_a_record(config, kafka, problems);
    if config.is_replicated {
        appends_fit(config, kafka, problems);
    } else {
        forwarded_late_is_kept(config, problems);
    }
}

/// The largest event that is answered with 200 is one that Kafka is given: what is too large for a
/// record would be refused behind the answer, and end as a dead letter of the spool.
fn events_fit_a_record(config: &Config, kafka: &Kafka, problems: &Problems) {
    let (event, record) = (config.collector.event_bytes_max, kafka.record_bytes_max);
    if event.bytes() + KEY_AND_HEADERS_BYTES.bytes() <= record.bytes() {
        return;
    }
    let message = format!(
        "events of {event} do not fit: with {KEY_AND_HEADERS_BYTES} for key and headers at most \
         `kafka.record_bytes_max` ({record})"
    );
    let hint = "raise `kafka.record_bytes_max`, and `max.message.bytes` of topics that exist; or \
                lower `collector.event_bytes_max`";
    let at = config.places.event_bytes_max.or(config.places.on_kafka.record_bytes_max);
    problems.add_with_hint(at.unwrap_or_default(), "collector.event_bytes_max", message, hint);
}

/// What the collector merges is one append to Kafka.
fn appends_fit(config: &Config, kafka: &Kafka, problems: &Problems) {
    let (append, append_max) = (config.collector.append_bytes_max, kafka.append_bytes_max);
    if append > append_max {
        let message = format!(
            "appends of {append} do not fit: at most `kafka.append_bytes_max` ({append_max})"
        );
        let at = config.places.append_bytes_max.or(config.places.on_kafka.append_bytes_max);
        problems.add(at.unwrap_or_default(), "collector.append_bytes_max", message);
    }
}

/// Records keep the time at which they were accepted: what is forwarded late is as old on Kafka, and
/// what is derived from it too. What `spool replay` may forward again must not be deleted at once.
fn forwarded_late_is_kept(config: &Config, problems: &Problems) {
    let keep = config.spool.keep;
    for topic in &config.topics {
        let Some(retention) = topic.config.retention.filter(|kept| *kept < keep) else { continue };
        let [retention, keep] = [retention, keep].map(format_duration);
        let message = format!(
            "{retention} is less than `spool.keep` ({keep}): Kafka would delete what is forwarded \
             again at once, by the time it was accepted"
        );
        let hint = "keep records for longer than the longest outage that you expect, of Kafka or of \
                    the workers, and at least as long as `spool.keep`";
        let path = format!("{}.retention", topic.name.path);
        problems.add_with_hint(topic.name.at, &path, message, hint);
    }
}

/// Workers share the tasks of pipelines and sinks; the one that is left alone takes over all of them,
/// and must be allowed to. Its own collector's spool is not shared.
pub(super) fn tasks_fit(config: &Config, kafka: &Kafka, problems: &Problems) {
    let is_collected = |name: &str| name == config.collector.topic;
    let collected = config.topics.iter().find(|topic| is_collected(topic.name.value.as_str()));
    let spool = collected.filter(|_| !config.is_replicated);
    let spool = spool.map_or(0, |topic| topic.config.partitions);
    let clean = config.pipelines.iter().map(|pipeline| &pipeline.from);
    let sinks = config.sinks.iter().map(|sink| &sink.from);
    let Some(last) = clean.clone().chain(sinks.clone()).last() else { return };
    let clean: u32 = clean.map(|from| config.partitions(&from.value)).sum();
    let sinks: u32 = sinks.map(|from| config.partitions(&from.value)).sum();
    let (tasks, tasks_max) = (spool + clean + sinks, kafka.tasks_max);
    if tasks as usize > tasks_max {
        let message = format!(
            "a worker that is left alone has {tasks} tasks, one for each partition: {spool} of the \
             spool, {clean} to clean, {sinks} of sinks; it may own {tasks_max} (`kafka.tasks_max`)"
        );
        let hint = "raise `kafka.tasks_max`, or give topics fewer partitions";
        match config.places.on_kafka.tasks_max {
            Some(at) => problems.add_with_hint(at, "kafka.tasks_max", message, hint),
            None => problems.add_with_hint(last.at, &last.path, message, hint),
        }
    }
    let local_max = config.log.tasks_max;
    if spool as usize > local_max {
        let message = format!(
            "the spool has {spool} tasks, one for each partition of topic `{}`; the journal opens at \
             most {local_max}",
            config.collector.topic
        );
        let at = config.places.tasks_max.unwrap_or(last.at);
        problems.add(at, "log.tasks_max", message);
    }
}
