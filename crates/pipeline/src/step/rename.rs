//! `rename`: moves fields, also between objects; makes missing parents of the target.
//!
//! A field that is missing is no fault. A target that is null is replaced; an event whose target
//! has another value already is rejected: one of the two values would be lost in silence. The
//! object that a field leaves stays, even if it is empty then.

use super::{STEP_FIELDS_MAX, Step, StepContext, StepError, Verdict};
use crate::event::{Event, Path, Renamed};

/// Which fields to move where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Pairs of the path of a field and its new path, done in this order.
    pub fields: Vec<(String, String)>,
}

/// The compiled step.
#[derive(Debug)]
pub struct Rename {
    fields: Vec<(Path, Path)>,
}

impl Rename {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        if !(1..=STEP_FIELDS_MAX).contains(&config.fields.len()) {
            return Err(StepError::Fields(config.fields.len()));
        }
        let mut fields: Vec<(Path, Path)> = Vec::new();
        for (from, to) in &config.fields {
            let pair = (Path::parse(from)?, Path::parse(to)?);
            if pair.0.contains(&pair.1) || pair.1.contains(&pair.0) {
                return Err(StepError::Overlap { from: from.clone(), to: to.clone() });
            }
            if fields.iter().any(|(known, _)| *known == pair.0) {
                return Err(StepError::Twice(from.clone()));
            }
            fields.push(pair);
        }
        Ok(Self { fields })
    }
}

impl Step for Rename {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        for (from, to) in &self.fields {
            match event.rename(from, to) {
                Ok(Renamed::Moved | Renamed::Missing) => {}
                Ok(Renamed::TargetExists) => {
                    return Verdict::rejected(from, format!("target `{to}` has a value already"));
                }
                Err(error) => return Verdict::edit(from, &error),
            }
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests;
