//! The arithmetic of `reconcile`: is everything that was accepted accounted for?
//!
//! ```text
//!   accepted ──▶ [ source topic ] ──▶ pipeline ──▶ [ clean topic ] ──▶ sink ──▶ table
//!                 in flight 1             │          in flight 2          │
//!                                 dead-lettered, filtered,            rejected
//!                                 deduplicated
//! ```
//!
//! Per sink: accepted + created + replayed = stored + dead-lettered + filtered + deduplicated +
//! in flight + before. *Before* is what retention had deleted when a pipeline or a sink was added:
//! it begins behind that, and does not answer for it. For those that were there from the start
//! it is zero. *In flight* is counted, not inferred: it is what the appender counts as appended
//! minus what the reader counts as read. Both change while we read them, so whoever collects
//! the facts reads downstream first: the reader's count is then never newer than the appender's.
//! Topics are bracketed: their end lies between the appenders' counts before and after.
//!
//! Where offsets do not count records (Kafka) what waits in a topic is counted by reading it, up to
//! a bound; beyond that the books say *at least*. A topic's end is then compared with nothing: what
//! a sink dealt with and what waits for it is, with what its pipelines count as written.
//!
//! Everything here is plain arithmetic on numbers; collecting them is the caller's work.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

mod absent;
mod spool;

pub(crate) use absent::Absent;
pub(crate) use spool::SpoolLine;

/// What the tasks of one pipeline, or of one partition of it, did since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Records read.
    pub(crate) read: u64,
    /// Records written to the clean topic.
    pub(crate) written: u64,
    /// Records rejected to the dead-letter topic.
    pub(crate) rejected: u64,
    /// Records dropped by a `filter`.
    pub(crate) filtered: u64,
    /// Records recognised as duplicates.
    pub(crate) deduplicated: u64,
    /// Records that steps made in addition.
    pub(crate) created: u64,
    /// Dead letters fed in again.
    pub(crate) replayed: u64,
}

impl Tally {
    /// Adds another tally.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            written: self.written + other.written,
            rejected: self.rejected + other.rejected,
            filtered: self.filtered + other.filtered,
            deduplicated: self.deduplicated + other.deduplicated,
            created: self.created + other.created,
            replayed: self.replayed + other.replayed,
        }
    }

    fn inflow(self) -> u64 {
        self.read + self.created + self.replayed
    }

    fn outflow(self) -> u64 {
        self.written + self.rejected + self.filtered + self.deduplicated
    }
}

/// What is known of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PipelineFacts {
    /// Its name.
    pub(crate) name: String,
    /// The topic it reads.
    pub(crate) from: String,
    /// The topic it writes.
    pub(crate) to: String,
    /// Where it puts what it rejects.
    pub(crate) dead_letters: String,
    /// The records that had left the topic when its tasks began.
    pub(crate) before: u64,
    /// The sum of its tasks' consumed positions.
    pub(crate) consumed: u64,
    /// Its counts, read after every topic it writes.
    pub(crate) tally: Tally,
    /// Its counts, read before any topic it writes.
    pub(crate) tally_before: Tally,
    /// The end of the topic it reads, read last of all: everything ever accepted. On a log whose
    /// offsets do not count records: what it read, and what was counted behind that.
    pub(crate) accepted: u64,
    /// Whether more may be accepted than that: the backlog was too large to be counted.
    pub(crate) accepted_is_least: bool,
}

/// What is known of one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkFacts {
    /// Its name.
    pub(crate) name: String,
    /// Its table.
    pub(crate) table: String,
    /// The topic it reads.
    pub(crate) from: String,
    /// The records that had left the topic when it began.
    pub(crate) before: u64,
    /// The sum of the positions that it registered in the log, read before the table.
    pub(crate) registered: u64,
    /// The rows it ever committed, as the table's newest commit says.
    pub(crate) stored: u64,
    /// The records it rejected.
    pub(crate) rejected: u64,
    /// The sum of the positions in the table's newest commit.
    pub(crate) consumed: u64,
    /// Where it puts what it rejects.
    pub(crate) dead_letters: String,
    /// The dead letters it has written, read after every topic.
    pub(crate) dead_lettered: u64,
    /// The dead letters it has written, read before any topic.
    pub(crate) dead_lettered_before: u64,
    /// What waits for it in its topic, counted; `None` where offsets count records.
    pub(crate) waiting: Option<Waiting>,
}

/// The records between a table's position and the end of its topic, counted by reading them after
/// the first look at the pipelines' counts and before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// How many.
    pub(crate) records: u64,
    /// Whether those are all; otherwise there are at least so many.
    pub(crate) is_all: bool,
    /// Whether it is known how many records had left the topic when the sink began.
    pub(crate) before_is_known: bool,
}

/// How much stands in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicFacts {
    /// Its name.
    pub(crate) name: String,
    /// The sum of its partitions' ends: everything ever appended; `None` where offsets do not
    /// count records.
    pub(crate) end: Option<u64>,
    /// Whether the collector appends to it.
    pub(crate) is_collected: bool,
}

/// Everything that reconciling needs, read downstream first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The sinks.
    pub(crate) sinks: Vec<SinkFacts>,
    /// The topics that pipelines write, and that sinks read.
    pub(crate) topics: Vec<TopicFacts>,
    /// The pipelines.
    pub(crate) pipelines: Vec<PipelineFacts>,
    /// The tables that are not where the facts were collected.
    pub(crate) absent: Vec<Absent>,
    /// Which positions the log refuses, and what helps, for people.
    pub(crate) refused: Vec<String>,
}

/// One line of the books: from what was accepted to what one sink stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The pipelines that feed the sink.
    pub(crate) pipelines: Vec<String>,
    /// The sink; `None` where a pipeline's topic feeds no sink, and counts as stored.
    pub(crate) sink: Option<String>,
    /// Records accepted.
    pub(crate) accepted: u64,
    /// Records that steps made in addition.
    pub(crate) created: u64,
    /// Dead letters fed in again.
    pub(crate) replayed: u64,
    /// Rows stored.
    pub(crate) stored: u64,
    /// Records in the dead-letter topic.
    pub(crate) dead_lettered: u64,
    /// Records dropped by a `filter`.
    pub(crate) filtered: u64,
    /// Records recognised as duplicates.
    pub(crate) deduplicated: u64,
    /// Records appended and not yet dealt with.
    pub(crate) in_flight: u64,
    /// Records that had left a topic before the pipeline or the sink that reads it began.
    pub(crate) before: u64,
    /// Whether more may be accepted and in flight than said: the backlog was too large to be
    /// counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) at_least: bool,
}

impl Line {
    /// Returns what came in: the left side.
    pub(crate) fn inflow(&self) -> u64 {
        self.accepted + self.created + self.replayed
    }

    /// Returns where it is: the right side.
    pub(crate) fn outflow(&self) -> u64 {
        let dealt_with = self.stored + self.dead_lettered + self.filtered + self.deduplicated;
        dealt_with + self.in_flight + self.before
    }
}

/// The books.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Books {
    /// Whether everything is accounted for; never while a table is not here.
    pub(crate) balanced: bool,
    /// One line for each sink, and for each pipeline without one.
    #[serde(rename = "books")]
    pub(crate) lines: Vec<Line>,
    /// The books of the asked node's spool, where Kafka is the log and the node has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spool: Option<SpoolLine>,
    /// The tables that are not here: of their sinks there is no line.
    #[serde(default, skip_serializing_if = "<[Absent]>::is_empty")]
    pub(crate) absent: Vec<Absent>,
    /// What does not add up, for people; empty when balanced.
    pub(crate) faults: Vec<String>,
}

/// Draws up the books.
pub(crate) fn reconcile(facts: &Facts) -> Books {
    // The cause comes before what follows from it.
    let mut faults = facts.refused.clone();
    for pipeline in &facts.pipelines {
        check_pipeline(pipeline, &mut faults);
    }
    for topic in &facts.topics {
        check_topic(topic, facts, &mut faults);
    }
    let is_here = |sink: &&SinkFacts| !facts.absent.iter().any(|absent| absent.sink == sink.name);
    let sinks = facts.sinks.iter().filter(is_here);
    let mut lines: Vec<Line> = sinks.map(|sink| sink_line(sink, facts, &mut faults)).collect();
    let without_sink = |pipeline: &&PipelineFacts| {
        !facts.sinks.iter().any(|sink| sink.from == pipeline.to)
            && !facts.pipelines.iter().any(|other| other.from == pipeline.to)
    };
    lines.extend(facts.pipelines.iter().filter(without_sink).map(pipeline_line));
    for line in &lines {
        if line.inflow() != line.outflow() {
            let name = line.sink.as_deref().unwrap_or("no sink");
            let difference = line.inflow().abs_diff(line.outflow());
            let verdict = if line.inflow() > line.outflow() { "missing" } else { "too many" };
            faults.push(format!(
                "{} → {name}: {} came in, {} are accounted for: {difference} {verdict}",
                line.pipelines.join(" + "),
                line.inflow(),
                line.outflow(),
            ));
        }
    }
    let absent = facts.absent.clone();
    let balanced = faults.is_empty() && absent.is_empty();
    Books { balanced, lines, spool: None, absent, faults }
}

fn check_pipeline(pipeline: &PipelineFacts, faults: &mut Vec<String>) {
    let PipelineFacts { name, tally, .. } = pipeline;
    if tally.inflow() != tally.outflow() {
        faults.push(format!(
            "pipeline {name}: read + created + replayed is {}, written + rejected + filtered + \
             deduplicated is {}",
            tally.inflow(),
            tally.outflow(),
        ));
    }
    if pipeline.before + tally.read != pipeline.consumed {
        let (consumed, since) = (pipeline.consumed, since(pipeline.before));
        let read = tally.read;
        faults.push(format!("pipeline {name}: counts {read} read{since}, stands at {consumed}"));
    }
    if pipeline.consumed > pipeline.accepted {
        let (consumed, accepted) = (pipeline.consumed, pipeline.accepted);
        faults.push(format!(
            "pipeline {name}: stands at {consumed}, beyond the {accepted} of topic {}",
            pipeline.from,
        ));
    }
}

/// Says where a reader began, if not at the start.
fn since(before: u64) -> String {
    if before == 0 { String::new() } else { format!(" since it began at {before}") }
}

/// A topic holds exactly what its appenders count as appended, give or take what they appended
/// while we looked.
fn check_topic(topic: &TopicFacts, facts: &Facts, faults: &mut Vec<String>) {
    let Some(end) = topic.end.filter(|_| !topic.is_collected) else { return };
    let (mut least, mut most) = (0, 0);
    for pipeline in &facts.pipelines {
        if pipeline.to == topic.name {
            least += pipeline.tally_before.written;
            most += pipeline.tally.written;
        }
        if pipeline.dead_letters == topic.name {
            least += pipeline.tally_before.rejected;
            most += pipeline.tally.rejected;
        }
    }
    for sink in &facts.sinks {
        if sink.dead_letters == topic.name {
            least += sink.dead_lettered_before;
            most += sink.dead_lettered;
        }
    }
    if !(least..=most).contains(&end) {
        let name = &topic.name;
        let counted =
            if least == most { most.to_string() } else { format!("between {least} and {most}") };
        faults.push(format!("topic {name}: holds {end}, its writers count {counted}"));
    }
}

fn sink_line(sink: &SinkFacts, facts: &Facts, faults: &mut Vec<String>) -> Line {
    let SinkFacts { name, before, stored, rejected, consumed, .. } = sink;
    if before + stored + rejected != *consumed {
        let since = since(*before);
        faults.push(format!(
            "sink {name}: stored {stored} and rejected {rejected}{since}, stands at {consumed}"
        ));
    }
    if sink.registered > *consumed {
        let registered = sink.registered;
        faults.push(format!(
            "sink {name}: registered {registered} in the log, its table {} stands at {consumed}: \
             the table lost commits",
            sink.table,
        ));
    }
    let feeding: Vec<&PipelineFacts> =
        facts.pipelines.iter().filter(|pipeline| pipeline.to == sink.from).collect();
    let mut line = Line {
        pipelines: feeding.iter().map(|pipeline| pipeline.name.clone()).collect(),
        sink: Some(name.clone()),
        stored: *stored,
        dead_lettered: *rejected,
        before: *before,
        ..empty_line()
    };
    let (mut appended_before, mut appended) = (0, 0);
    for pipeline in feeding {
        add_pipeline(&mut line, pipeline);
        appended_before += pipeline.tally_before.written;
        appended += pipeline.tally.written;
    }
    let mut topics = facts.topics.iter();
    if let Some(topic) = topics.find(|topic| topic.name == sink.from && topic.is_collected) {
        // Nobody counts what the collector appends where offsets do not.
        let waiting = sink.waiting.map_or(0, |waiting| waiting.records);
        let end = topic.end.unwrap_or(consumed + waiting);
        line.at_least |= sink.waiting.is_some_and(|waiting| !waiting.is_all);
        line.accepted += end;
        appended_before += end;
        appended += end;
    }
    match sink.waiting {
        None => match appended.checked_sub(*consumed) {
            Some(waiting) => line.in_flight += waiting,
            None => faults.push(format!(
                "sink {name}: stands at {consumed}, but only {appended} were appended to {}",
                sink.from,
            )),
        },
        Some(waiting) => {
            add_waiting(&mut line, (sink, waiting), appended_before..=appended, faults);
        }
    }
    line
}

/// Adds what was counted in a sink's topic, and holds it against what its writers count.
///
/// Where it is not known how many records had left the topic when the sink began, that is what
/// remains, and nothing can be held against it.
fn add_waiting(
    line: &mut Line,
    (sink, waiting): (&SinkFacts, Waiting),
    appended: RangeInclusive<u64>,
    faults: &mut Vec<String>,
) {
    let (least, most) = (*appended.start(), *appended.end());
    let SinkFacts { name, from, consumed, .. } = sink;
    let held = consumed + waiting.records;
    let may_hold_more = !waiting.is_all || !waiting.before_is_known;
    if held > most || (held < least && !may_hold_more) {
        let counted =
            if least == most { most.to_string() } else { format!("between {least} and {most}") };
        let waiting = waiting.records;
        faults.push(format!(
            "sink {name}: dealt with {consumed} of topic {from}, {waiting} wait in it, its writers \
             count {counted}"
        ));
    }
    if waiting.before_is_known {
        line.in_flight += most.saturating_sub(*consumed);
    } else {
        line.in_flight += waiting.records;
        line.before += most.saturating_sub(held);
        line.at_least |= !waiting.is_all;
    }
}

/// The line of a pipeline whose topic nobody of ours reads: what it wrote there counts as stored.
fn pipeline_line(pipeline: &PipelineFacts) -> Line {
    let mut line = Line {
        pipelines: vec![pipeline.name.clone()],
        stored: pipeline.tally.written,
        ..empty_line()
    };
    add_pipeline(&mut line, pipeline);
    line
}

fn add_pipeline(line: &mut Line, pipeline: &PipelineFacts) {
    let tally = pipeline.tally;
    line.accepted += pipeline.accepted;
    line.at_least |= pipeline.accepted_is_least;
    line.created += tally.created;
    line.replayed += tally.replayed;
    line.dead_lettered += tally.rejected;
    line.filtered += tally.filtered;
    line.deduplicated += tally.deduplicated;
    line.before += pipeline.before;
    line.in_flight += pipeline.accepted.saturating_sub(pipeline.before + tally.read);
}

fn empty_line() -> Line {
    Line {
        pipelines: Vec::new(),
        sink: None,
        accepted: 0,
        created: 0,
        replayed: 0,
        stored: 0,
        dead_lettered: 0,
        filtered: 0,
        deduplicated: 0,
        in_flight: 0,
        before: 0,
        at_least: false,
    }
}

#[cfg(test)]
mod tests;
