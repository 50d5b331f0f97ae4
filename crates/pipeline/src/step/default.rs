//! `default`: fills a field that is missing or null; makes missing parents.
//!
//! An event in which a parent of the field is neither missing, null nor an object is rejected:
//! there is no place for the default.

use serde_json::Value;

use super::{Step, StepContext, StepError, Verdict, parse_paths};
use crate::event::{Event, Path};

/// Which fields get which value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The paths of the fields, and the value of each where an event has none.
    pub fields: Vec<(String, Value)>,
}

/// The compiled step.
#[derive(Debug)]
pub struct Default {
    /// Paths and the JSON text of their values.
    fields: Vec<(Path, String)>,
}

impl Default {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        let paths = parse_paths(config.fields.iter().map(|(field, _)| field))?;
        let mut fields = Vec::with_capacity(paths.len());
        for (path, (field, value)) in paths.into_iter().zip(&config.fields) {
            if value.is_null() {
                let reason = "a default is not null".to_owned();
                return Err(StepError::Value { field: field.clone(), reason });
            }
            fields.push((path, value.to_string()));
        }
        Ok(Self { fields })
    }
}

impl Step for Default {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        for (path, json) in &self.fields {
            match event.is_missing_or_null(path) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => return Verdict::malformed(path, &error),
            }
            if let Err(error) = event.set(path, |text| text.push_str(json)) {
                return Verdict::edit(path, &error);
            }
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests;
