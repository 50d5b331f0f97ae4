//! What others did to a table: how many rows they added and removed, as numbers that outlive the
//! snapshots they come from.
//!
//! ```text
//!   ours(7) ◀── a user's DELETE(8): −5 ◀── ours(9) ◀── …
//!   map of 7: others [0, 0]              map of 9: others [0, 5], also when 8 has expired
//! ```
//!
//! Each commit of ours walks the snapshots of others since our last one and adds their net to the
//! map. Where the walk cannot see all of them the table's total tells: what is in it beyond, or
//! short of, what our map accounts for was done by others.

use std::collections::HashMap;

use iceberg::spec::{Operation, Snapshot};

use super::PositionMap;

/// Rows that snapshots of others added and removed, since the table began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Others {
    /// Rows added: the sum over the snapshots that added more than they removed.
    pub added: u64,
    /// Rows removed: the sum over the snapshots that removed more than they added.
    pub removed: u64,
}

impl Others {
    /// Returns what one snapshot of others did, in sum. An engine that deletes one row of a file
    /// by writing the others anew "removes" and "adds" them all: only the difference says
    /// anything. Rewriting files changes no rows. Equality deletes name no number of rows.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let summary = snapshot.summary();
        if summary.operation == Operation::Replace {
            return Self::default();
        }
        let of = |key: &str| number(&summary.additional_properties, key).unwrap_or(0);
        let added = of("added-records").saturating_add(of("removed-position-deletes"));
        let removed = of("deleted-records").saturating_add(of("added-position-deletes"));
        Self::difference(removed, added)
    }

    /// Returns what others must have done for a table to be as `snapshot` says, beside the rows
    /// and the others that `map` accounts for.
    pub(super) fn settle(map: &PositionMap, snapshot: &Snapshot) -> Self {
        let known = map.others.unwrap_or_default();
        let properties = &snapshot.summary().additional_properties;
        let Some(total) = number(properties, "total-records") else { return known };
        let deletes = number(properties, "total-position-deletes").unwrap_or(0);
        let live = total.saturating_sub(deletes);
        known.plus(Self::difference(known.rows_with(map.rows()), live))
    }

    /// Returns what turns `before` rows into `after`.
    fn difference(before: u64, after: u64) -> Self {
        Self { added: after.saturating_sub(before), removed: before.saturating_sub(after) }
    }

    /// Adds what was done later.
    #[must_use]
    pub(super) fn plus(self, later: Self) -> Self {
        Self {
            added: self.added.saturating_add(later.added),
            removed: self.removed.saturating_add(later.removed),
        }
    }

    /// Returns how many rows a table holds to which we wrote `ours`.
    pub(crate) fn rows_with(self, ours: u64) -> u64 {
        ours.saturating_add(self.added).saturating_sub(self.removed)
    }
}

/// Reads a number of a snapshot's summary.
pub(crate) fn number(properties: &HashMap<String, String>, key: &str) -> Option<u64> {
    properties.get(key)?.parse().ok()
}
