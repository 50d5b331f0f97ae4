//! Finds pipelines and sinks that came back under another name.
//!
//! Positions and counts belong to tasks, and tasks carry the name of their pipeline or sink. Under
//! a new name it would begin anew, and store everything that the log still holds once more.

use thiserror::Error;

use super::Flow;

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
        match self {
            Self::Pipeline { old, new, .. } => format!(
                "its positions stand under its name, so everything in the topic would be stored \
                 again: call `pipelines.{new}` `{old}` again"
            ),
            Self::Sink { old, new, .. } => format!(
                "its positions stand under its name, so everything in the topic would be stored \
                 again: call `sinks.{new}` `{old}` again, or let it fill a new table"
            ),
        }
    }
}

/// Compares the flow of the last run with the next one.
pub(crate) fn check(last: &Flow, next: &Flow) -> Result<(), Renamed> {
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
