//! Changes what a table says of our sinks, and nothing else: its properties, no row and no snapshot.

use iceberg::spec::TableMetadata;
use millstream_runtime::{Context, Rng};

use crate::commit::ATTEMPTS_MAX;
use crate::position::{COMMIT_ID, POSITIONS, REJECTED, Standing, encode_rejections};
use crate::warehouse::fresh_id;
use crate::{Lake, LakeError, Swap, TableName, Version};

impl Lake {
    /// Sets where a table stands to what `plan` makes of it; `None` changes nothing. Returns whether
    /// anything was changed; does nothing when there is no such table.
    ///
    /// The plan is made anew for each version: whoever commits in between is not overwritten.
    pub(crate) async fn set_standing(
        &self,
        cx: &Context,
        table: &TableName,
        plan: impl Fn(&TableMetadata) -> Result<Option<Standing>, LakeError>,
    ) -> Result<bool, LakeError> {
        let mut rng = Rng::from_os();
        for _ in 0..ATTEMPTS_MAX {
            cx.check()?;
            let Some(base) = self.find(table).await? else { return Ok(false) };
            let Some(standing) = plan(&base.metadata)? else { return Ok(false) };
            let number = base.number() + 1;
            let built = properties(&base, &standing);
            let next = built.map_err(LakeError::table("build metadata", table))?;
            let id = fresh_id(&self.seams().clock, &mut rng);
            let next = self.write_metadata(table, next, number, id).await?;
            if self.catalog().swap(table, &base.location, &next.location).await? == Swap::Done {
                return Ok(true);
            }
        }
        Err(LakeError::Conflict { table: table.clone(), attempts: ATTEMPTS_MAX })
    }
}

fn properties(base: &Version, standing: &Standing) -> iceberg::Result<TableMetadata> {
    let commit = standing.commit.map(|commit| (COMMIT_ID.to_owned(), commit.to_string()));
    let rejected = encode_rejections(&standing.rejected);
    let rejected = (!standing.rejected.is_empty()).then_some((REJECTED.to_owned(), rejected));
    let is_gone = |key: &str, value: &Option<_>| value.is_none().then(|| key.to_owned());
    let gone = [is_gone(COMMIT_ID, &commit), is_gone(REJECTED, &rejected)];
    let gone: Vec<String> = gone.into_iter().flatten().collect();
    let positions = (POSITIONS.to_owned(), standing.map.encode());
    let properties = [Some(positions), commit, rejected].into_iter().flatten().collect();
    let builder = base.to_builder().set_properties(properties)?.remove_properties(&gone)?;
    Ok(builder.build()?.metadata)
}
