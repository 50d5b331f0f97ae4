//! Finds pipelines and sinks that came back under another name without saying so.
//!
//! Positions and counts belong to tasks, and tasks carry the name of their pipeline or sink. Under
//! a new name it would begin anew, and store everything that the log still holds once more. What
//! says `renamed_from` takes over what stands under the old name ([`super::takeover`]).

use std::collections::BTreeMap;

use thiserror::Error;

use super::Flow;
use crate::config::{Config, Located};

/// A pipeline or a sink of the last run that goes by another name now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Renamed {
    /// A pipeline is gone, and a new one reads its topic.
    #[error("pipeline `{old}` is gone and the new pipeline `{new}` reads the same topic `{topic}`")]
    Pipeline {
        /// The name in the last run.
        old: String,
        /// The name now.
        new: String,
        /// The topic both read.
        topic: String,
    },
    /// A sink is gone, and a new one fills its table from its topic.
    #[error(
        "sink `{old}` is gone and the new sink `{new}` fills the same table `{table}` from the \
         same topic `{topic}`"
    )]
    Sink {
        /// The name in the last run.
        old: String,
        /// The name now.
        new: String,
        /// The table both fill.
        table: String,
        /// The topic both read.
        topic: String,
    },
}

impl Renamed {
    /// Returns what to do about it.
    pub(crate) fn hint(&self) -> String {
        let why = "its positions stand under its name, so everything in the topic would be stored \
                   again";
        match self {
            Self::Pipeline { old, new, .. } => format!(
                "{why}: add `renamed_from: {old}` to `pipelines.{new}`, or call it `{old}` again"
            ),
            Self::Sink { old, new, .. } => format!(
                "{why}: add `renamed_from: {old}` to `sinks.{new}`, call it `{old}` again, or let \
                 it fill a new table"
            ),
        }
    }
}

/// What the configuration says was renamed: new names with the old ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Renames {
    pub(crate) pipelines: BTreeMap<String, String>,
    pub(crate) sinks: BTreeMap<String, String>,
}

impl Renames {
    /// Takes the renames out of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let pair = |name: &Located<String>, old: &Option<Located<String>>| {
            Some((name.value.clone(), old.as_ref()?.value.clone()))
        };
        let pipelines = config.pipelines.iter().filter_map(|it| pair(&it.name, &it.renamed_from));
        let sinks = config.sinks.iter().filter_map(|it| pair(&it.name, &it.renamed_from));
        Self { pipelines: pipelines.collect(), sinks: sinks.collect() }
    }

    /// Returns the flow of the last run with the names of the next one.
    fn applied_to(&self, last: &Flow) -> Flow {
        let renamed = |renames: &BTreeMap<String, String>, name: &mut String| {
            if let Some((new, _)) = renames.iter().find(|(_, old)| *old == name) {
                name.clone_from(new);
            }
        };
        let mut last = last.clone();
        last.pipelines.iter_mut().for_each(|it| renamed(&self.pipelines, &mut it.name));
        last.sinks.iter_mut().for_each(|it| renamed(&self.sinks, &mut it.name));
        last
    }
}

/// Compares the flow of the last run with the next one, in which `renames` are said to be.
pub(crate) fn check(last: &Flow, next: &Flow, renames: &Renames) -> Result<(), Renamed> {
    let last = &renames.applied_to(last);
    for old in &last.pipelines {
        if next.pipelines.iter().any(|pipeline| pipeline.name == old.name) {
            continue;
        }
        let is_new = |name: &str| last.pipelines.iter().all(|pipeline| pipeline.name != name);
        let mut successors = next.pipelines.iter().filter(|new| new.from == old.from);
        if let Some(new) = successors.find(|new| is_new(&new.name)) {
            let (old, new, topic) = (old.name.clone(), new.name.clone(), new.from.clone());
            return Err(Renamed::Pipeline { old, new, topic });
        }
    }
    for old in &last.sinks {
        if next.sinks.iter().any(|sink| sink.name == old.name) {
            continue;
        }
        let is_new = |name: &str| last.sinks.iter().all(|sink| sink.name != name);
        let is_same = |from: &str, table: &str| from == old.from && table == old.table;
        let mut successors = next.sinks.iter().filter(|new| is_same(&new.from, &new.table));
        if let Some(new) = successors.find(|new| is_new(&new.name)) {
            let (old, topic, table) = (old.name.clone(), new.from.clone(), new.table.clone());
            return Err(Renamed::Sink { old, new: new.name.clone(), table, topic });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
