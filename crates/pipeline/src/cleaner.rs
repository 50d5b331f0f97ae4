//! The cleaner: runs every event of a batch through the steps and the schema, and writes what
//! comes out straight into the batches of the next transaction.
//!
//! Plain synchronous code, without I/O and without a clock: the same batch on the same state gives
//! the same outputs.
//! A panic inside a step is a bug of that step, not of the event's neighbours: it is caught, and
//! the event goes to the dead letters.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use millstream_log::OffsetBatch;
use millstream_model::partitioner::partition_of;
use millstream_model::{Record, RecordBatchBuilder, Timestamp, TopicPartition};
use thiserror::Error;

use crate::counts::Counts;
use crate::dead_letter::{DeadLetter, Origin};
use crate::event::{Event, EventBatch, EventBuffers, Limits};
use crate::keyed_state::KeyedState;
use crate::schema::Schema;
use crate::step::{Step, StepConfig, StepContext, StepError, Verdict};

/// The most steps of a pipeline.
pub const STEPS_MAX: usize = 100;

/// The name of the check before the first step: the record must hold an event.
pub const PARSE_STEP: &str = "0:parse";

/// What a cleaner is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the pipeline, for its dead letters.
    pub pipeline: String,
    /// The steps, in order.
    pub steps: Vec<StepConfig>,
    /// What a clean event must fit, if a sink stands behind the output topic.
    pub schema: Option<Arc<Schema>>,
    /// What an event may hold.
    pub limits: Limits,
    /// The number of partitions of the input topic.
    pub input_partitions: u32,
    /// The number of partitions of the output topic.
    pub output_partitions: u32,
}

/// Steps that make no cleaner.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CleanerError {
    /// A step cannot be built.
    #[error("step {place} ({kind}): {source}")]
    Step {
        /// Its place, from 1.
        place: usize,
        /// Its kind.
        kind: &'static str,
        /// Why not.
        source: StepError,
    },
    /// There are too many steps.
    #[error("a pipeline has at most {STEPS_MAX} steps, not {0}")]
    Count(usize),
    /// More than one step keeps state.
    #[error("step {place}: a pipeline has one step that keeps state, and it is step {first}")]
    TwoStates {
        /// The place of the first, from 1.
        first: usize,
        /// The place of the second, from 1.
        place: usize,
    },
    /// A step keeps state, and nobody says where its changelog is.
    #[error("step {place} keeps state and needs a changelog")]
    NoChangelog {
        /// Its place, from 1.
        place: usize,
    },
}

/// Steps and schema, compiled, with the buffers they use again and again.
#[derive(Debug)]
pub struct Cleaner {
    pipeline: String,
    steps: Vec<NamedStep>,
    schema: Option<(String, Arc<Schema>)>,
    limits: Limits,
    router: Router,
    buffers: EventBuffers,
    texts: String,
    /// There where a step keeps state.
    state: Option<KeyedState>,
}

#[derive(Debug)]
struct NamedStep {
    /// `<place>:<kind>`, as dead letters name it.
    name: String,
    step: Box<dyn Step>,
}

/// Which partition of the output a record goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Router {
    /// The one with the input's number.
    Same,
    /// By the key, as the collector does.
    ByKey { partitions: u32 },
}

/// What one or more batches became: the records of the next transaction.
#[derive(Debug)]
pub struct Outputs {
    /// Clean records, by output partition; only one when it has the input's number.
    pub clean: Vec<RecordBatchBuilder>,
    /// Dead letters.
    pub dead: RecordBatchBuilder,
    /// Changes of state.
    pub changelog: RecordBatchBuilder,
    /// What was counted.
    pub counts: Counts,
}

impl Outputs {
    /// Returns the encoded size of all records, in bytes.
    pub fn bytes_len(&self) -> usize {
        let clean: usize = self.clean.iter().map(RecordBatchBuilder::bytes_len).sum();
        clean + self.dead.bytes_len() + self.changelog.bytes_len()
    }
}

impl Cleaner {
    /// Compiles steps and schema.
    pub fn new(settings: &Settings) -> Result<Self, CleanerError> {
        if settings.steps.len() > STEPS_MAX {
            return Err(CleanerError::Count(settings.steps.len()));
        }
        let has_state = first_with_state(&settings.steps)?.is_some();
        let mut steps = Vec::with_capacity(settings.steps.len());
        for (place, config) in settings.steps.iter().enumerate().map(|(at, step)| (at + 1, step)) {
            let kind = config.kind();
            let step = config.build();
            let step = step.map_err(|source| CleanerError::Step { place, kind, source })?;
            steps.push(NamedStep { name: format!("{place}:{kind}"), step });
        }
        let last = steps.len() + 1;
        let partitions = settings.output_partitions;
        let same = settings.input_partitions == partitions;
        Ok(Self {
            pipeline: settings.pipeline.clone(),
            steps,
            schema: settings.schema.clone().map(|schema| (format!("{last}:schema"), schema)),
            limits: settings.limits,
            router: if same { Router::Same } else { Router::ByKey { partitions } },
            buffers: EventBuffers::new(),
            texts: String::new(),
            state: has_state.then(KeyedState::new),
        })
    }

    /// Returns whether clean records go to the partition with the input's number; otherwise
    /// [`Outputs::clean`] has one batch per output partition.
    pub fn keeps_partition(&self) -> bool {
        self.router == Router::Same
    }

    /// Starts outputs with room for `bytes` of input.
    pub fn outputs(&self, bytes: usize) -> Outputs {
        let clean = match self.router {
            // Defaults and renames make events a little larger.
            Router::Same => vec![RecordBatchBuilder::with_capacity(bytes + bytes / 8)],
            Router::ByKey { partitions } => {
                (0..partitions).map(|_| RecordBatchBuilder::new()).collect()
            }
        };
        let (dead, changelog) = (RecordBatchBuilder::new(), RecordBatchBuilder::new());
        Outputs { clean, dead, changelog, counts: Counts::default() }
    }

    /// Returns what the steps remember, if one of them does.
    pub fn state(&self) -> Option<&KeyedState> {
        self.state.as_ref()
    }

    /// Returns what the steps remember, to change it.
    pub fn state_mut(&mut self) -> Option<&mut KeyedState> {
        self.state.as_mut()
    }

    /// Starts a transaction at `now`: writes to the state that were not committed are dropped.
    pub fn begin(&mut self, now: Timestamp) {
        if let Some(state) = &mut self.state {
            state.begin(now);
        }
    }

    /// Ends the batches of a transaction: adds the changes of state to `outputs`.
    pub fn finish(&mut self, outputs: &mut Outputs) {
        if let Some(state) = &mut self.state {
            for NamedStep { step, .. } in &self.steps {
                step.settle(state, outputs.counts.read);
            }
            state.finish(&mut outputs.changelog);
        }
    }

    /// Cleans every record of `batch`, which was read from `origin`, into `outputs`.
    pub fn clean(&mut self, origin: &TopicPartition, batch: &OffsetBatch, outputs: &mut Outputs) {
        let mut events = EventBatch::new(batch, &mut self.buffers, self.limits);
        while let Some(item) = events.next_event() {
            outputs.counts.read += 1;
            let judged = match item.event {
                Ok(mut event) => {
                    let mut cx = StepContext::of_record(&item.record, self.state.as_mut());
                    let (schema, texts) = (self.schema.as_ref(), &mut self.texts);
                    let verdict = judge(&self.steps, schema, texts, &mut event, &mut cx);
                    verdict.map(|()| event)
                }
                Err(error) => Err(Refusal::malformed(&error)),
            };
            match judged {
                Ok(event) => {
                    let batch = &mut outputs.clean[self.router.output_of(&item.record)];
                    let Record { timestamp, key, headers, .. } = item.record;
                    batch.push_with(timestamp, key, headers, |out| event.write_to(out));
                    outputs.counts.written += 1;
                }
                Err(Refusal::Filtered) => outputs.counts.filtered += 1,
                Err(Refusal::Duplicate) => outputs.counts.deduplicated += 1,
                Err(Refusal::Rejected { step, field, reason }) => {
                    let origin = Origin { partition: origin.clone(), offset: item.offset };
                    let pipeline = self.pipeline.clone();
                    let letter = DeadLetter { origin, pipeline, step, field, reason };
                    letter.push(item.record, &mut outputs.dead);
                    outputs.counts.rejected += 1;
                }
            }
        }
    }

    /// Sends one record to the dead letters without looking into it.
    pub fn reject(
        &self,
        origin: Origin,
        record: Record<'_>,
        failure: &crate::Failure,
        outputs: &mut Outputs,
    ) {
        let letter = DeadLetter {
            origin,
            pipeline: self.pipeline.clone(),
            step: format!("{}:{}", self.steps.len() + 2, failure.step),
            field: None,
            reason: failure.reason.clone(),
        };
        letter.push(record, &mut outputs.dead);
        outputs.counts.read += 1;
        outputs.counts.rejected += 1;
    }
}

/// Returns the place, from 1, of the one step that keeps state.
pub(crate) fn first_with_state(steps: &[StepConfig]) -> Result<Option<usize>, CleanerError> {
    let mut places = (1..).zip(steps).filter(|(_, step)| step.keeps_state()).map(|(at, _)| at);
    match (places.next(), places.next()) {
        (Some(first), Some(place)) => Err(CleanerError::TwoStates { first, place }),
        (first, _) => Ok(first),
    }
}

/// Why an event is not among the clean ones.
enum Refusal {
    Filtered,
    Duplicate,
    Rejected { step: String, field: Option<String>, reason: String },
}

impl Refusal {
    fn malformed(error: &crate::event::Malformed) -> Self {
        Self::Rejected { step: PARSE_STEP.to_owned(), field: None, reason: error.to_string() }
    }
}

fn judge(
    steps: &[NamedStep],
    schema: Option<&(String, Arc<Schema>)>,
    texts: &mut String,
    event: &mut Event<'_>,
    cx: &mut StepContext<'_>,
) -> Result<(), Refusal> {
    for NamedStep { name, step } in steps {
        // The event is thrown away if the step panics, so a half-made edit is never seen.
        let verdict = catch_unwind(AssertUnwindSafe(|| step.apply(event, cx)));
        match verdict {
            Ok(Verdict::Keep) => {}
            Ok(Verdict::Filtered) => return Err(Refusal::Filtered),
            Ok(Verdict::Duplicate) => return Err(Refusal::Duplicate),
            Ok(Verdict::Rejected { field, reason }) => {
                let (step, reason) = (name.clone(), reason.into_owned());
                return Err(Refusal::Rejected { step, field, reason });
            }
            Err(panic) => {
                let reason = format!("step panicked: {}", panic_message(&*panic));
                return Err(Refusal::Rejected { step: name.clone(), field: None, reason });
            }
        }
    }
    let Some((name, schema)) = schema else { return Ok(()) };
    schema.check(event, texts).map_err(|misfit| Refusal::Rejected {
        step: name.clone(),
        field: misfit.field,
        reason: misfit.reason,
    })
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl Router {
    /// Returns which of the outputs takes `record`.
    fn output_of(self, record: &Record<'_>) -> usize {
        match self {
            Self::Same => 0,
            Self::ByKey { partitions } => {
                // As the collector routes: by the key, else by the bytes as they came.
                let bytes = record.key.or(record.value).unwrap_or_default();
                partition_of(bytes, partitions).0 as usize
            }
        }
    }
}

#[cfg(test)]
mod tests;
