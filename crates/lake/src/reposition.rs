//! Lets a sink go on elsewhere in its topic than its table says, because a person decided so.
//!
//! Only metadata changes: the table's property takes a new map, named after the commit that the
//! current snapshot leads back to, and so it stands for that one. No row is touched; rows that the
//! new map no longer counts are put down to others.

use std::collections::BTreeMap;

use iceberg::spec::TableMetadata;
use millstream_model::{LogPosition, PartitionId, TopicName};
use millstream_runtime::Context;
use tracing::info;

use crate::position::{PartitionPosition, SinkPositions, Standing, standing, standing_of_snapshot};
use crate::{Lake, LakeError, TableName};

/// Where a sink is to go on.
#[derive(Debug, Clone)]
pub struct Reposition<'s> {
    /// The sink.
    pub sink: &'s str,
    /// The topic it reads.
    pub topic: &'s TopicName,
    /// Where to go on in some of its partitions; the others stay where the current snapshot has them.
    pub places: BTreeMap<PartitionId, LogPosition>,
    /// What becomes of the counts of these partitions.
    pub counting: Counting,
}

/// What becomes of the counts of a partition that goes on elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// They go on: all that was counted is still part of the books, as after the topic was created
    /// anew.
    Kept,
    /// They begin at zero, where the partition goes on.
    Anew,
}

/// Where a table stands by its current snapshot, and whether a sink would go on from there.
#[derive(Debug)]
pub struct SnapshotStanding {
    /// Where it stands.
    pub standing: Standing,
    /// Why a sink refuses it: the table was rolled back, or its positions are lost.
    pub refused: Option<LakeError>,
}

impl Lake {
    /// Returns where a table stands by its current snapshot; `None` when there is no such table.
    pub async fn snapshot_standing(
        &self,
        table: &TableName,
    ) -> Result<Option<SnapshotStanding>, LakeError> {
        let Some(version) = self.find(table).await? else { return Ok(None) };
        let found = standing_of_snapshot(table, &version.metadata)?;
        let refused = standing(table, &version.metadata).err();
        Ok(Some(SnapshotStanding { standing: found, refused }))
    }

    /// Lets a sink go on from the current snapshot of `table`, in some partitions elsewhere.
    ///
    /// Idempotent; a sink that runs meanwhile finds its next commit refused, and opens again.
    pub async fn reposition_sink(
        &self,
        cx: &Context,
        table: &TableName,
        to: &Reposition<'_>,
    ) -> Result<(), LakeError> {
        let plan = |metadata: &TableMetadata| {
            let found = standing_of_snapshot(table, metadata)?;
            Ok(Some(moved(found, metadata, to)))
        };
        self.set_standing(cx, table, plan).await?;
        info!(%table, sink = to.sink, "the sink goes on elsewhere");
        Ok(())
    }
}

fn moved(mut standing: Standing, metadata: &TableMetadata, to: &Reposition<'_>) -> Standing {
    if let Some(first) = to.places.values().next() {
        move_sink(&mut standing, *first, to);
    }
    // The walk from the current snapshot adds what others did since: here counts the commit alone.
    standing.map.others = None;
    let sequence = standing.map.sequence;
    let commit = metadata.snapshots().find(|snapshot| snapshot.sequence_number() == sequence);
    match commit {
        Some(commit) => standing.settled(Some(commit)),
        None => standing,
    }
}

fn move_sink(standing: &mut Standing, first: LogPosition, to: &Reposition<'_>) {
    let moved = SinkPositions {
        log: first.log,
        topic: to.topic.clone(),
        topic_id: first.topic,
        partitions: BTreeMap::new(),
    };
    let before = standing.map.sinks.remove(to.sink).map(|sink| sink.partitions);
    let mut partitions = before.unwrap_or_default();
    for (partition, place) in &to.places {
        let kept = match to.counting {
            Counting::Kept => partitions.get(partition).copied().unwrap_or_default(),
            Counting::Anew => {
                PartitionPosition { begin: place.offset, ..PartitionPosition::default() }
            }
        };
        let (next, incarnation) = (place.offset, place.incarnation.0);
        let begin = kept.begin.min(next);
        partitions.insert(*partition, PartitionPosition { begin, next, incarnation, ..kept });
        if let Some(rejected) = standing.rejected.get_mut(to.sink) {
            rejected.remove(partition);
        }
    }
    standing.rejected.retain(|_, partitions| !partitions.is_empty());
    standing.map.sinks.insert(to.sink.to_owned(), SinkPositions { partitions, ..moved });
}
