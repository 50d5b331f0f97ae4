//! Steps: what a pipeline does to each event, one file each.
//!
//! A step is synchronous and pure: the same event, context and state give the same verdict and the
//! same edits, so that an event cleaned again after a crash gives the same bytes. A step that
//! rejects says which field is at fault and why, in words for the person who reads the dead letters.

pub mod cast;
pub mod dedupe;
pub mod default;
pub mod filter;
pub mod remove;
pub mod rename;
pub mod require;
pub mod timestamp;

use std::borrow::Cow;
use std::fmt::Debug;

use millstream_model::{Headers, Record, Timestamp};
use thiserror::Error;

use crate::event::{EditError, Event, Malformed, Path, PathError};
use crate::keyed_state::KeyedState;

/// The most fields that one step names.
pub const STEP_FIELDS_MAX: usize = 1000;

/// What a step decides about one event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The event goes on.
    Keep,
    /// The event is dropped on purpose, and counted.
    Filtered,
    /// The event was seen before: it is dropped, and counted.
    Duplicate,
    /// The event goes to the dead letters.
    Rejected {
        /// The path of the field at fault; `None` when no single one is.
        field: Option<String>,
        /// Why, for people.
        reason: Cow<'static, str>,
    },
}

impl Verdict {
    /// Rejects for the field at `path`.
    pub fn rejected(path: &Path, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Rejected { field: Some(path.as_str().to_owned()), reason: reason.into() }
    }

    fn malformed(path: &Path, error: &Malformed) -> Self {
        Self::rejected(path, error.to_string())
    }

    fn edit(path: &Path, error: &EditError) -> Self {
        Self::rejected(path, error.to_string())
    }
}

/// What a step may know beside the event, and what it may remember.
#[derive(Debug)]
pub struct StepContext<'c> {
    /// When the event was accepted.
    pub accepted: Timestamp,
    /// The key of its record.
    pub key: Option<&'c [u8]>,
    /// The headers of its record.
    pub headers: Headers<'c>,
    /// The state of the pipeline's task; there where a step of the pipeline keeps state.
    pub state: Option<&'c mut KeyedState>,
}

impl<'c> StepContext<'c> {
    /// Builds the context of the event in `record`.
    pub fn of_record(record: &Record<'c>, state: Option<&'c mut KeyedState>) -> Self {
        let Record { timestamp, key, headers, .. } = *record;
        Self { accepted: timestamp, key, headers, state }
    }

    /// Builds the context of an event about which nothing is known.
    #[cfg(test)]
    pub(crate) fn of_event_alone() -> Self {
        Self { accepted: Timestamp::EPOCH, key: None, headers: Headers::EMPTY, state: None }
    }
}

/// One step of a pipeline, compiled.
pub trait Step: Debug + Send + Sync {
    /// Edits `event`, and decides whether it goes on. Pure: no I/O, no clock, no randomness.
    fn apply(&self, event: &mut Event<'_>, cx: &mut StepContext<'_>) -> Verdict;

    /// Brings the state in order after a batch of `events` events: a step that keeps state
    /// forgets here what it need not remember. Bounded by the number of events.
    fn settle(&self, _state: &mut KeyedState, _events: u64) {}
}

/// A step as it is configured.
#[derive(Debug, Clone, PartialEq)]
pub enum StepConfig {
    /// Rejects events without a field.
    Require(require::Config),
    /// Fills fields that are missing or null.
    Default(default::Config),
    /// Moves fields.
    Rename(rename::Config),
    /// Removes fields.
    Remove(remove::Config),
    /// Changes the type of fields.
    Cast(cast::Config),
    /// Brings fields to ISO 8601 in UTC.
    Timestamp(timestamp::Config),
    /// Drops events on purpose.
    Filter(filter::Config),
    /// Drops events that were seen before.
    Dedupe(dedupe::Config),
}

/// A step that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StepError {
    /// A field's path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The step names no field, or too many.
    #[error("name 1 to {STEP_FIELDS_MAX} fields, not {0}")]
    Fields(usize),
    /// One field is named twice.
    #[error("field `{0}` is named twice")]
    Twice(String),
    /// Two fields of a step are in each other's way.
    #[error("`{from}` and `{to}`: one lies within the other")]
    Overlap {
        /// One path.
        from: String,
        /// The other.
        to: String,
    },
    /// A value cannot be written as JSON.
    #[error("value of `{field}` cannot be used: {reason}")]
    Value {
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
    /// Conditions are nested too deeply.
    #[error("conditions are nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
    /// A number or a duration lies outside its range.
    #[error("`{key}` is out of range; allowed: {range}")]
    Range {
        /// Its key.
        key: &'static str,
        /// What is allowed.
        range: &'static str,
    },
}

impl StepConfig {
    /// Returns the name of the step in configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Require(_) => "require",
            Self::Default(_) => "default",
            Self::Rename(_) => "rename",
            Self::Remove(_) => "remove",
            Self::Cast(_) => "cast",
            Self::Timestamp(_) => "timestamp",
            Self::Filter(_) => "filter",
            Self::Dedupe(_) => "dedupe",
        }
    }

    /// Returns whether the step remembers something from one event to the next.
    pub fn keeps_state(&self) -> bool {
        matches!(self, Self::Dedupe(_))
    }

    /// Checks the configuration.
    pub fn validate(&self) -> Result<(), StepError> {
        self.build().map(drop)
    }

    /// Compiles the step.
    pub fn build(&self) -> Result<Box<dyn Step>, StepError> {
        Ok(match self {
            Self::Require(config) => Box::new(require::Require::new(config)?),
            Self::Default(config) => Box::new(default::Default::new(config)?),
            Self::Rename(config) => Box::new(rename::Rename::new(config)?),
            Self::Remove(config) => Box::new(remove::Remove::new(config)?),
            Self::Cast(config) => Box::new(cast::Cast::new(config)?),
            Self::Timestamp(config) => Box::new(timestamp::ToTimestamp::new(config)?),
            Self::Filter(config) => Box::new(filter::Filter::new(config)?),
            Self::Dedupe(config) => Box::new(dedupe::Dedupe::new(config)?),
        })
    }
}

/// Compiles the paths of a step's fields: 1 to [`STEP_FIELDS_MAX`], none twice.
fn parse_paths<'a>(fields: impl IntoIterator<Item = &'a String>) -> Result<Vec<Path>, StepError> {
    let mut paths: Vec<Path> = Vec::new();
    for field in fields {
        let path = Path::parse(field)?;
        if paths.contains(&path) {
            return Err(StepError::Twice(field.clone()));
        }
        paths.push(path);
    }
    if !(1..=STEP_FIELDS_MAX).contains(&paths.len()) {
        return Err(StepError::Fields(paths.len()));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests;
