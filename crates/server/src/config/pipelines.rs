//! The section `pipelines`: from a topic, through steps, to a topic.

use millstream_model::TopicName;
use millstream_pipeline::{StepConfig, processor};

use super::section::{Field, OutOfRange, decode};
use super::source::Located;
use super::steps::steps;
use super::value::{Fields, Value};

/// The longest name of a pipeline or sink; it is part of a task's id.
const NAME_BYTES_MAX: usize = 64;

/// Where a pipeline begins that never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the first record that is still there.
    Beginning,
}

/// One pipeline.
#[derive(Debug, Clone)]
pub(crate) struct PipelineSpec {
    /// Its name; part of its tasks' ids, so that its positions stay with it.
    pub(crate) name: Located<String>,
    /// What it was called before: its positions stand under that name.
    pub(crate) renamed_from: Option<Located<String>>,
    /// Where it begins, said aloud: it is one more on its topic, not another one renamed.
    pub(crate) start: Option<Start>,
    /// The topic it reads.
    pub(crate) from: Located<TopicName>,
    /// What it does, in order.
    pub(crate) steps: Vec<Located<StepConfig>>,
    /// The topic it writes.
    pub(crate) to: Located<TopicName>,
    /// The topic that gets what it rejects.
    pub(crate) dead_letters: Located<TopicName>,
    /// How its tasks work.
    pub(crate) worker: processor::Config,
}

impl PipelineSpec {
    /// Returns the step that keeps state, if there is one.
    pub(crate) fn step_with_state(&self) -> Option<&Located<StepConfig>> {
        self.steps.iter().find(|step| step.value.keeps_state())
    }

    /// Returns the topic in which the state of its tasks stands, if a step of it keeps state.
    ///
    /// It is named after the pipeline, not after the step's place: a step put before it changes
    /// nothing about what is remembered.
    pub(crate) fn changelog(&self) -> Option<TopicName> {
        let step = self.step_with_state()?;
        let name = format!("{}-{}-changelog", self.name.value, step.value.kind());
        // Nothing but the name of a pipeline is in it, and that is checked already.
        TopicName::new(&name).ok()
    }
}

/// The keys that say how the tasks work.
pub(crate) const WORKER_FIELDS: &[Field<processor::Config>] = &[
    Field { key: "batch_bytes_max", apply: |c, v| v.byte_size().map(|it| c.batch_bytes_max = it) },
    Field {
        key: "transaction_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.transaction_bytes_max = it),
    },
    Field {
        key: "transaction_time_max",
        apply: |c, v| v.duration().map(|it| c.transaction_time_max = it),
    },
    Field { key: "drain_timeout", apply: |c, v| v.duration().map(|it| c.drain_timeout = it) },
];

/// Decodes the section.
pub(crate) fn pipelines(value: &Value<'_>) -> Option<Vec<PipelineSpec>> {
    let named = value.named()?;
    Some(named.into_iter().filter_map(|(name, value)| pipeline(name, &value)).collect())
}

fn pipeline(name: Located<String>, value: &Value<'_>) -> Option<PipelineSpec> {
    check_name(&name, value);
    let mut fields = value.fields()?;
    let renamed_from = renamed_from(&mut fields, &name);
    let start = fields.take("start");
    let start = start.and_then(|value| value.one_of(&[("beginning", Start::Beginning)]));
    let from = fields.need("from").and_then(|value| value.topic());
    let steps = match fields.take("steps") {
        Some(value) => steps(&value),
        None => Some(Vec::new()),
    };
    let to = fields.need("to").and_then(|value| value.topic());
    let dead_letters = fields.need("dead_letters").and_then(|value| value.topic());
    let worker = decode(&mut fields, WORKER_FIELDS, |config| {
        config.validate().map_err(|error| OutOfRange::allowed(error.key, error.reason))
    });
    fields.finish();
    let (from, to, dead_letters) = (from?, to?, dead_letters?);
    let steps = steps.unwrap_or_default();
    Some(PipelineSpec { name, renamed_from, start, from, steps, to, dead_letters, worker })
}

/// Decodes what a pipeline or a sink was called before.
pub(super) fn renamed_from(
    fields: &mut Fields<'_>,
    name: &Located<String>,
) -> Option<Located<String>> {
    let value = fields.take("renamed_from")?;
    let old = value.text()?;
    check_name(&old, &value);
    if old.value == name.value {
        let hint = "give the name it had before, or remove the key";
        value.problem_with_hint(format!("`{}` is the name it has now", old.value), hint);
    }
    Some(old)
}

/// Checks the name of a pipeline or a sink.
pub(super) fn check_name(name: &Located<String>, value: &Value<'_>) {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.value.len());
    if !fits || !name.value.bytes().all(legal) {
        let message =
            format!("`{}` is not a name; use 1 to {NAME_BYTES_MAX} of a-z A-Z 0-9 _ -", name.value);
        value.problems().add(name.at, value.path(), message);
    }
}
