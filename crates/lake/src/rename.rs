//! Moves a sink's positions in its table from an old name of the sink to the new one.
//!
//! Only metadata changes: the table's property takes the map over under the new name, named after
//! the same commit, so that it stands for that commit's snapshot. Doing it again finds nothing
//! left to do, and a crash leaves one name or the other.

use iceberg::spec::TableMetadata;
use millstream_runtime::Context;
use tracing::info;

use crate::position::{Standing, standing};
use crate::{Lake, LakeError, TableName};

/// A sink's new name, and the one under which its positions stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rename<'n> {
    /// The name until now.
    pub old: &'n str,
    /// The name from now on.
    pub new: &'n str,
}

impl Lake {
    /// Moves what stands in `table` under a sink's old name to its new one.
    ///
    /// A sink that opens the table under its old name is refused from then on, also when nothing
    /// stood there: a worker that was not told yet must not begin anew. Does nothing when there is
    /// no such table. Refused when both names have positions. Idempotent; a sink that runs under
    /// the old name cannot commit afterwards.
    pub async fn rename_sink(
        &self,
        cx: &Context,
        table: &TableName,
        rename: Rename<'_>,
    ) -> Result<(), LakeError> {
        let plan = |metadata: &TableMetadata| renamed(table, standing(table, metadata)?, rename);
        if self.set_standing(cx, table, plan).await? {
            let Rename { old, new } = rename;
            info!(%table, old, new, "the sink's positions stand under its new name");
        }
        Ok(())
    }
}

/// Returns the standing under the new name; `None` when there is nothing left to do.
fn renamed(
    table: &TableName,
    mut standing: Standing,
    Rename { old, new }: Rename<'_>,
) -> Result<Option<Standing>, LakeError> {
    let Some(positions) = standing.map.sinks.remove(old) else {
        let back = standing.map.renamed_to(new) == Some(old);
        let is_done = standing.map.renamed_to(old).is_some();
        if is_done || (standing.map.renamed_to(new).is_some() && !back) {
            return Ok(None);
        }
        standing.map.note_renamed(old, new);
        return Ok(Some(standing));
    };
    if standing.map.sinks.contains_key(new) {
        let (old, new) = (old.to_owned(), new.to_owned());
        return Err(LakeError::NameTaken { table: table.clone(), old, new });
    }
    standing.map.sinks.insert(new.to_owned(), positions);
    if let Some(rejected) = standing.rejected.remove(old) {
        standing.rejected.insert(new.to_owned(), rejected);
    }
    standing.map.note_renamed(old, new);
    // What others did stands in the snapshots: this map is none of a snapshot's own.
    standing.map.others = None;
    Ok(Some(standing))
}

#[cfg(test)]
mod tests;
