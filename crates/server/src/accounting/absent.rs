//! Tables that are not where the books are drawn up.
//!
//! Where Kafka is the log its tasks are seen from everywhere, and a table only where its catalog
//! lies: with the worker that fills it. What is stored is not known elsewhere, and nothing that is
//! known elsewhere may stand in for it.

use serde::{Deserialize, Serialize};

/// A sink's table that is not here, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Absent {
    /// The sink.
    pub(crate) sink: String,
    /// Its table.
    pub(crate) table: String,
    /// The partitions of which a table of that name has nothing, although the log says that the
    /// sink stored them; `None` when there is no such table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partitions: Option<Vec<u32>>,
    /// The records of it that the sink has dealt with, as the log says.
    pub(crate) registered: u64,
}

impl Absent {
    /// Says what is not here.
    pub(crate) fn said(&self) -> String {
        let Self { sink, table, partitions, registered } = self;
        let elsewhere = match registered {
            0 => format!("by the log sink `{sink}` has stored nothing in it yet"),
            _ => format!("by the log sink `{sink}` has dealt with {registered} records for it"),
        };
        let Some(partitions) = partitions else {
            return format!("table `{table}` is not here; {elsewhere}");
        };
        let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        let numbers = numbers.join(", ");
        format!("table `{table}` here has nothing of partition {numbers}; {elsewhere}")
    }
}
