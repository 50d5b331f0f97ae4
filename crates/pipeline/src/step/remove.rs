//! `remove`: removes fields; one that is missing is no fault.

use super::{Step, StepContext, StepError, Verdict, parse_paths};
use crate::event::{Event, Path};

/// Which fields to remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The paths of the fields to remove.
    pub fields: Vec<String>,
}

/// The compiled step.
#[derive(Debug)]
pub struct Remove {
    fields: Vec<Path>,
}

impl Remove {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        Ok(Self { fields: parse_paths(&config.fields)? })
    }
}

impl Step for Remove {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        for field in &self.fields {
            if let Err(error) = event.remove(field) {
                return Verdict::malformed(field, &error);
            }
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests;
