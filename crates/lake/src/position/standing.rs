//! Where a table stands: the walk from the current snapshot to our last marker.
//!
//! ```text
//!   ours(7) ◀── compaction(8) ◀── a user's INSERT(9) = current          property: map of 7
//!   walk: 9 foreign, 8 foreign, 7 carries our map and is what the property names: found
//! ```
//!
//! When expiry cut the chain before our marker, the property stands in. When the walk gets below
//! the property's sequence number without meeting it, somebody rolled the table back.

use std::collections::HashMap;

use iceberg::spec::{SnapshotRef, TableMetadata};
use uuid::Uuid;

use super::{COMMIT_ID, POSITIONS, PositionMap, REJECTED, Rejections, decode_rejections};
use crate::{LakeError, TableName};

/// How far our sinks came with a table, and by which commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How far each sink has read.
    pub map: PositionMap,
    /// Our last commit; `None` when there was none.
    pub commit: Option<Uuid>,
    /// What that commit rejected.
    pub rejected: Rejections,
}

/// Returns where the table stands; refuses one that was rolled back behind our last commit.
pub fn standing(table: &TableName, metadata: &TableMetadata) -> Result<Standing, LakeError> {
    if is_reset(metadata) {
        return Ok(Standing::default());
    }
    let property = read_marker(table, metadata.properties())?;
    let committed = property.as_ref().map_or(0, |property| property.map.sequence);
    let rolled_back = |found| LakeError::RolledBack { table: table.clone(), committed, found };

    let mut current = metadata.current_snapshot();
    if current.is_none() && committed > 0 {
        return Err(rolled_back(0));
    }
    while let Some(snapshot) = current {
        if let Some(marker) = read_marker(table, &snapshot.summary().additional_properties)? {
            if marker.map.sequence < committed {
                return Err(rolled_back(marker.map.sequence));
            }
            return Ok(with_rejections(marker, property));
        }
        if snapshot.sequence_number() <= committed {
            return Err(rolled_back(snapshot.sequence_number()));
        }
        match parent_of(metadata, snapshot) {
            Parent::Snapshot(parent) => current = Some(parent),
            Parent::None => current = None,
            Parent::Expired => {
                let lost = || LakeError::PositionsLost { table: table.clone() };
                return property.ok_or_else(lost);
            }
        }
    }
    Ok(property.unwrap_or_default())
}

/// Takes the rejections, which only the property lists, if it was set by the same commit.
fn with_rejections(marker: Standing, property: Option<Standing>) -> Standing {
    match property {
        Some(property) if property.commit == marker.commit => property,
        _ => marker,
    }
}

/// Tells whether a person set the property to `none` to begin anew.
fn is_reset(metadata: &TableMetadata) -> bool {
    metadata.properties().get(POSITIONS).is_some_and(|text| text == "none")
}

/// Tells whether `commit` is part of the table's current history.
pub(crate) fn holds_commit(metadata: &TableMetadata, commit: Uuid) -> bool {
    let text = commit.to_string();
    let is_ours = |properties: &HashMap<String, String>| properties.get(COMMIT_ID) == Some(&text);
    let mut current = metadata.current_snapshot();
    while let Some(snapshot) = current {
        if is_ours(&snapshot.summary().additional_properties) {
            return true;
        }
        current = match parent_of(metadata, snapshot) {
            Parent::Snapshot(parent) => Some(parent),
            Parent::None => None,
            // Expiry cut the chain; the property still names our last commit.
            Parent::Expired => return is_ours(metadata.properties()),
        };
    }
    false
}

enum Parent<'a> {
    Snapshot(&'a SnapshotRef),
    Expired,
    None,
}

fn parent_of<'a>(metadata: &'a TableMetadata, snapshot: &SnapshotRef) -> Parent<'a> {
    match snapshot.parent_snapshot_id() {
        None => Parent::None,
        Some(id) => metadata.snapshot_by_id(id).map_or(Parent::Expired, Parent::Snapshot),
    }
}

fn read_marker(
    table: &TableName,
    properties: &HashMap<String, String>,
) -> Result<Option<Standing>, LakeError> {
    let Some(text) = properties.get(POSITIONS) else { return Ok(None) };
    let broken = |reason: String| LakeError::PositionMap { table: table.clone(), reason };
    let map = PositionMap::decode(text).map_err(|error| broken(error.to_string()))?;
    let commit = match properties.get(COMMIT_ID) {
        Some(id) => Some(Uuid::parse_str(id).map_err(|error| broken(error.to_string()))?),
        None => None,
    };
    let rejected = match properties.get(REJECTED) {
        Some(text) => decode_rejections(text).map_err(|error| broken(error.to_string()))?,
        None => Rejections::new(),
    };
    Ok(Some(Standing { map, commit, rejected }))
}
