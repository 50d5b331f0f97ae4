//! Moves a sink's positions in its table from an old name of the sink to the new one.
//!
//! Only metadata changes: the table's property takes the map over under the new name, named after
//! the same commit, so that it stands for that commit's snapshot. Doing it again finds nothing
//! left to do, and a crash leaves one name or the other.

use millstream_runtime::{Context, Rng};
use tracing::info;

use crate::commit::ATTEMPTS_MAX;
use crate::position::{COMMIT_ID, POSITIONS, REJECTED, Standing, encode_rejections, standing};
use crate::warehouse::fresh_id;
use crate::{Lake, LakeError, Swap, TableName, Version};

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
    /// Does nothing when there is no such table, or nothing under the old name. Refused when both
    /// names have positions. Idempotent; not to be called while the sink runs.
    pub async fn rename_sink(
        &self,
        cx: &Context,
        table: &TableName,
        rename: Rename<'_>,
    ) -> Result<(), LakeError> {
        let mut rng = Rng::from_os();
        for _ in 0..ATTEMPTS_MAX {
            cx.check()?;
            let Some(base) = self.find(table).await? else { return Ok(()) };
            let stands = standing(table, &base.metadata)?;
            let Some(renamed) = renamed(table, stands, rename)? else { return Ok(()) };
            let number = base.number() + 1;
            let built = properties(&base, &renamed);
            let next = built.map_err(LakeError::table("build metadata", table))?;
            let id = fresh_id(&self.seams().clock, &mut rng);
            let next = self.write_metadata(table, next, number, id).await?;
            if self.catalog().swap(table, &base.location, &next.location).await? == Swap::Done {
                let Rename { old, new } = rename;
                info!(%table, old, new, "the sink's positions stand under its new name");
                return Ok(());
            }
        }
        Err(LakeError::Conflict { table: table.clone(), attempts: ATTEMPTS_MAX })
    }
}

/// Returns the standing under the new name; `None` when nothing stands under the old one.
fn renamed(
    table: &TableName,
    mut standing: Standing,
    Rename { old, new }: Rename<'_>,
) -> Result<Option<Standing>, LakeError> {
    let Some(positions) = standing.map.sinks.remove(old) else { return Ok(None) };
    if standing.map.sinks.contains_key(new) {
        let (old, new) = (old.to_owned(), new.to_owned());
        return Err(LakeError::NameTaken { table: table.clone(), old, new });
    }
    standing.map.sinks.insert(new.to_owned(), positions);
    if let Some(rejected) = standing.rejected.remove(old) {
        standing.rejected.insert(new.to_owned(), rejected);
    }
    // What others did stands in the snapshots: this map is none of a snapshot's own.
    standing.map.others = None;
    Ok(Some(standing))
}

fn properties(
    base: &Version,
    standing: &Standing,
) -> iceberg::Result<iceberg::spec::TableMetadata> {
    let commit = standing.commit.map(|commit| (COMMIT_ID.to_owned(), commit.to_string()));
    let rejected = encode_rejections(&standing.rejected);
    let rejected = (!standing.rejected.is_empty()).then_some((REJECTED.to_owned(), rejected));
    let positions = (POSITIONS.to_owned(), standing.map.encode());
    let properties = [Some(positions), commit, rejected].into_iter().flatten().collect();
    Ok(base.to_builder().set_properties(properties)?.build()?.metadata)
}

#[cfg(test)]
mod tests;
