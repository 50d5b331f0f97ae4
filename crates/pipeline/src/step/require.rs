//! `require`: rejects an event in which a field is missing, null or an empty string.

use super::{Step, StepContext, StepError, Verdict, parse_paths};
use crate::event::{Event, Path};

/// Which fields an event must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The paths of the fields that must be there with a value.
    pub fields: Vec<String>,
}

/// The compiled step.
#[derive(Debug)]
pub struct Require {
    fields: Vec<Path>,
}

impl Require {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        Ok(Self { fields: parse_paths(&config.fields)? })
    }
}

impl Step for Require {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        for field in &self.fields {
            let text = match event.get(field) {
                Ok(value) => value.map(|value| value.text()),
                Err(error) => return Verdict::malformed(field, &error),
            };
            match text {
                None => return Verdict::rejected(field, "is missing"),
                Some("null") => return Verdict::rejected(field, "is null"),
                Some("\"\"") => return Verdict::rejected(field, "is empty"),
                Some(_) => {}
            }
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests;
