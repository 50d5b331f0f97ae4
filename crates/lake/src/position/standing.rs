//! Where a table stands: the walk from the current snapshot to our last marker.
//!
//! ```text
//!   ours(7) ◀── compaction(8) ◀── a user's INSERT(9) = current          property: map of 7
//!   walk: 9 foreign, 8 foreign, 7 carries our map and is what the property names: found
//! ```
//!
//! When expiry cut the chain before our marker, the property stands in. When the walk gets below
//! the property's sequence number without meeting it, somebody rolled the table back. On the way
//! the walk counts what the others did.

use std::collections::HashMap;

use iceberg::spec::{SnapshotRef, TableMetadata};
use uuid::Uuid;

use super::{COMMIT_ID, Others, POSITIONS, PositionMap, REJECTED, Rejections, decode_rejections};
use crate::{LakeError, TableName};

/// How far our sinks came with a table, and by which commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How far each sink has read, and what others did, up to the current snapshot.
    pub map: PositionMap,
    /// Our last commit; `None` when there was none.
    pub commit: Option<Uuid>,
    /// What that commit rejected.
    pub rejected: Rejections,
}

/// Returns where the table stands; refuses one that was rolled back behind our last commit.
pub fn standing(table: &TableName, metadata: &TableMetadata) -> Result<Standing, LakeError> {
    let newest = metadata.current_snapshot();
    if is_reset(metadata) {
        return Ok(Standing::default().settled(newest));
    }
    let property = read_marker(table, metadata.properties())?;
    let committed = property.as_ref().map_or(0, |property| property.map.sequence);
    let rolled_back = |found| LakeError::RolledBack { table: table.clone(), committed, found };

    if newest.is_none() && committed > 0 {
        return Err(rolled_back(0));
    }
    let mut since = Others::default();
    let mut current = newest;
    while let Some(snapshot) = current {
        if let Some(marker) = read_marker(table, &snapshot.summary().additional_properties)? {
            if marker.map.sequence < committed {
                return Err(rolled_back(marker.map.sequence));
            }
            // A map of version 1 says nothing of others.
            let is_counted = marker.map.others.is_some();
            let marker = if is_counted { marker } else { marker.settled(Some(snapshot)) };
            return Ok(with_property(marker, property).followed_by(since));
        }
        if snapshot.sequence_number() <= committed {
            return Err(rolled_back(snapshot.sequence_number()));
        }
        since = since.plus(Others::of(snapshot));
        match parent_of(metadata, snapshot) {
            Parent::Snapshot(parent) => current = Some(parent),
            Parent::None => current = None,
            Parent::Expired => {
                let lost = || LakeError::PositionsLost { table: table.clone() };
                return Ok(property.ok_or_else(lost)?.settled(newest));
            }
        }
    }
    match property.unwrap_or_default() {
        // All that is in the table was seen on the way.
        empty if empty.map.sinks.is_empty() => Ok(empty.followed_by(since)),
        standing => Ok(standing.settled(newest)),
    }
}

/// Returns where the current snapshot of the table stands, also when it was rolled back behind our
/// last commit, or lost every trace of us: then what our last commit in its history says.
pub(crate) fn standing_of_snapshot(
    table: &TableName,
    metadata: &TableMetadata,
) -> Result<Standing, LakeError> {
    match standing(table, metadata) {
        Err(LakeError::RolledBack { .. } | LakeError::PositionsLost { .. }) => {}
        other => return other,
    }
    let newest = metadata.current_snapshot();
    let mut current = newest;
    while let Some(snapshot) = current {
        let properties = &snapshot.summary().additional_properties;
        if let Some(marker) = read_marker(table, properties)? {
            return Ok(marker.settled(newest));
        }
        current = match parent_of(metadata, snapshot) {
            Parent::Snapshot(parent) => Some(parent),
            Parent::None | Parent::Expired => None,
        };
    }
    Ok(Standing::default().settled(newest))
}

impl Standing {
    /// Refuses a sink that goes on under another name.
    pub(crate) fn check_name(&self, table: &TableName, sink: &str) -> Result<(), LakeError> {
        let Some(new) = self.map.renamed_to(sink) else { return Ok(()) };
        let (table, old, new) = (table.clone(), sink.to_owned(), new.to_owned());
        Err(LakeError::Renamed { table, old, new })
    }

    /// Adds what others did after our last commit.
    fn followed_by(mut self, since: Others) -> Self {
        self.map.others = Some(self.map.others.unwrap_or_default().plus(since));
        self
    }

    /// Puts down to others what the table holds beyond, or short of, what the map accounts for.
    pub(crate) fn settled(mut self, snapshot: Option<&SnapshotRef>) -> Self {
        let settle = |snapshot: &SnapshotRef| Others::settle(&self.map, snapshot);
        self.map.others = Some(snapshot.map_or_else(Others::default, settle));
        self
    }
}

/// Takes the property, if it names the same commit: only it lists the rejections, and it may have
/// been changed since, by a new name of a sink or a person's decision where one goes on.
fn with_property(marker: Standing, property: Option<Standing>) -> Standing {
    match property {
        Some(mut property) if property.commit == marker.commit => {
            // A map that took over a new name does not say, nor does one of version 1.
            property.map.others = property.map.others.or(marker.map.others);
            property
        }
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
