//! Positions inside a table: how far each sink has read, stored in the commit that holds the rows.
//!
//! Every snapshot of ours carries the whole map, and so does a table property set in the same
//! commit. `docs/formats/table.md` is the reference. A partition costs about 16 bytes:
//!
//! ```text
//! 3:120394^500-2~2@1   partition 3 goes on at offset 120394, began at offset 500, holds 2 rows
//! │ │     │   │ │ │    fewer than the offsets between, rejected 2 records, and the record before
//! │ │     │   │ │ │    its end was written by
//! │ │     │   │ │ └─── the incarnation with index 1 in `inc` (index 0 is left out)
//! │ │     │   │ └───── rejected so far (left out when zero)
//! │ │     │   └─────── offsets minus rows (left out when zero, `+n` when negative)
//! │ │     └─────────── the first offset ever read (left out when zero)
//! │ └───────────────── next offset
//! └─────────────────── partition
//! ```

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use millstream_model::{Incarnation, LogId, LogPosition, Offset, PartitionId, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

mod others;
mod standing;

pub use others::Others;
pub(crate) use others::number;
pub use standing::{Standing, standing};
pub(crate) use standing::{holds_commit, standing_of_snapshot};

/// The snapshot summary key and the table property that hold the map.
pub const POSITIONS: &str = "millstream.positions";
/// The snapshot summary key and the table property that hold the id of our commit.
pub const COMMIT_ID: &str = "millstream.commit-id";
/// The table property that lists what was rejected and may not be a dead letter yet; only there,
/// to keep snapshots small.
pub const REJECTED: &str = "millstream.rejected";

/// The version of the encoding. Version 1 knew neither where a partition began nor others.
const VERSION: u32 = 2;

/// The oldest version that is read.
const VERSION_MIN: u32 = 1;

/// How many old names a map remembers: one rename a year for longer than anybody forgets to update
/// a worker, in few enough bytes for each snapshot.
pub(crate) const RENAMES_MAX: usize = 16;

/// A sink that goes on under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct Renaming {
    /// The name until then; a sink with that name is refused.
    pub old: String,
    /// The name since.
    pub new: String,
}

/// How far each sink of a table has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PositionMap {
    /// The sequence number of the snapshot that was committed with this map; zero for none.
    pub sequence: i64,
    /// What others did to the table up to that snapshot; `None` when the map does not say.
    pub others: Option<Others>,
    /// The sinks that write to the table, by name.
    pub sinks: BTreeMap<String, SinkPositions>,
    /// The names that sinks had before, the newest last: at most [`RENAMES_MAX`].
    pub renamed: Vec<Renaming>,
}

/// How far one sink has read its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPositions {
    /// The log it reads.
    pub log: LogId,
    /// The topic it reads.
    pub topic: TopicName,
    /// The identity of that topic.
    pub topic_id: TopicId,
    /// Where each partition stands.
    pub partitions: BTreeMap<PartitionId, PartitionPosition>,
}

/// Where one partition stands, and what came of it so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionPosition {
    /// The offset of the first record ever read: what lay before was gone already. Never changes.
    pub begin: Offset,
    /// The next offset to read.
    pub next: Offset,
    /// The incarnation that wrote the record before `next`; zero for none.
    pub incarnation: u64,
    /// Rows stored so far.
    pub rows: u64,
    /// Records rejected by the sink so far.
    pub rejected: u64,
}

/// The records that commits rejected, by sink and partition.
pub type Rejections = BTreeMap<String, BTreeMap<PartitionId, Vec<Rejection>>>;

/// A record that a commit left out because it does not fit the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its offset.
    pub offset: Offset,
    /// The field at fault; `None` when the record as a whole is.
    pub field: Option<String>,
    /// What is wrong, for people.
    pub reason: String,
}

/// A text that is no position map.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// It is not the JSON we write.
    #[error("not a position map")]
    Json(#[from] serde_json::Error),
    /// It was written by a newer version of this program.
    #[error(
        "encoding version {0} is unknown to this program, which knows {VERSION_MIN} to {VERSION}"
    )]
    Version(u32),
    /// A part of it does not parse.
    #[error("`{0}` is not a partition's position")]
    Partition(String),
    /// A topic's name is none.
    #[error("`{0}` is not a topic name")]
    Topic(String),
}

#[derive(Serialize, Deserialize)]
struct WireMap {
    v: u32,
    seq: i64,
    /// Rows added, rows removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    others: Option<[u64; 2]>,
    sinks: BTreeMap<String, WireSink>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    renamed: Vec<Renaming>,
}

impl From<(String, String)> for Renaming {
    fn from((old, new): (String, String)) -> Self {
        Self { old, new }
    }
}

impl From<Renaming> for (String, String) {
    fn from(Renaming { old, new }: Renaming) -> Self {
        (old, new)
    }
}

#[derive(Serialize, Deserialize)]
struct WireSink {
    log: Uuid,
    topic: String,
    id: Uuid,
    inc: Vec<String>,
    p: String,
}

impl PositionMap {
    /// Returns where a sink's partition stands.
    pub fn get(&self, sink: &str, partition: PartitionId) -> Option<LogPosition> {
        let sink = self.sinks.get(sink)?;
        let position = sink.partitions.get(&partition)?;
        Some(LogPosition {
            log: sink.log,
            topic: sink.topic_id,
            incarnation: Incarnation(position.incarnation),
            offset: position.next,
        })
    }

    /// Returns the text that stands in snapshots and in the table's property.
    pub fn encode(&self) -> String {
        let sinks = self.sinks.iter().map(|(name, sink)| (name.clone(), sink.to_wire())).collect();
        let others = self.others.map(|others| [others.added, others.removed]);
        let renamed = self.renamed.clone();
        let wire = WireMap { v: VERSION, seq: self.sequence, others, sinks, renamed };
        serde_json::to_string(&wire).expect("a map with text keys always encodes")
    }

    /// Parses what [`PositionMap::encode`] wrote; `none` stands for an empty map.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        if text == "none" {
            return Ok(Self::default());
        }
        let wire: WireMap = serde_json::from_str(text)?;
        if !(VERSION_MIN..=VERSION).contains(&wire.v) {
            return Err(DecodeError::Version(wire.v));
        }
        let others = wire.others.map(|[added, removed]| Others { added, removed });
        let sinks = wire.sinks.into_iter().map(|(name, sink)| Ok((name, sink.parse()?)));
        let sinks = sinks.collect::<Result<_, DecodeError>>()?;
        Ok(Self { sequence: wire.seq, others, sinks, renamed: wire.renamed })
    }

    /// Returns the name under which a sink goes on.
    pub fn renamed_to(&self, sink: &str) -> Option<&str> {
        self.renamed.iter().find(|renaming| renaming.old == sink).map(|it| it.new.as_str())
    }

    /// Notes that what was called `old` is called `new`: the one name is refused from now on, the
    /// other is not. The oldest renaming is forgotten when there are too many.
    pub(crate) fn note_renamed(&mut self, old: &str, new: &str) {
        self.renamed.retain(|renaming| renaming.old != new && renaming.old != old);
        if self.renamed.len() == RENAMES_MAX {
            self.renamed.remove(0);
        }
        self.renamed.push(Renaming { old: old.to_owned(), new: new.to_owned() });
    }

    /// Returns the rows that all sinks stored.
    pub fn rows(&self) -> u64 {
        let partitions = self.sinks.values().flat_map(|sink| sink.partitions.values());
        partitions.map(|position| position.rows).sum()
    }
}

impl SinkPositions {
    fn to_wire(&self) -> WireSink {
        let mut incarnations: Vec<u64> = Vec::new();
        let mut text = String::with_capacity(self.partitions.len() * 16);
        for (partition, position) in &self.partitions {
            let known = incarnations.iter().position(|known| *known == position.incarnation);
            let index = known.unwrap_or_else(|| {
                incarnations.push(position.incarnation);
                incarnations.len() - 1
            });
            if !text.is_empty() {
                text.push(' ');
            }
            position.write(*partition, index, &mut text);
        }
        WireSink {
            log: self.log.0,
            topic: self.topic.as_str().to_owned(),
            id: self.topic_id.0,
            inc: incarnations.iter().map(|incarnation| format!("{incarnation:x}")).collect(),
            p: text,
        }
    }
}

impl PartitionPosition {
    fn write(&self, partition: PartitionId, incarnation: usize, text: &mut String) {
        let Self { begin, next, rows, rejected, .. } = *self;
        let offsets = next.0.saturating_sub(begin.0);
        let mut put = |part: std::fmt::Arguments<'_>| {
            text.write_fmt(part).expect("writing to a string cannot fail");
        };
        put(format_args!("{partition}:{next}"));
        if begin != Offset::ZERO {
            put(format_args!("^{begin}"));
        }
        match offsets.cmp(&rows) {
            Ordering::Greater => put(format_args!("-{}", offsets - rows)),
            Ordering::Less => put(format_args!("+{}", rows - offsets)),
            Ordering::Equal => {}
        }
        if rejected > 0 {
            put(format_args!("~{rejected}"));
        }
        if incarnation > 0 {
            put(format_args!("@{incarnation}"));
        }
    }

    fn parse(text: &str, incarnations: &[u64]) -> Option<(PartitionId, Self)> {
        let (partition, rest) = text.split_once(':')?;
        let (rest, index) = split_number(rest, '@')?;
        let (rest, rejected) = split_number(rest, '~')?;
        let (rest, fewer) = split_number(rest, '-')?;
        let (rest, more) = split_number(rest, '+')?;
        let (next, begin) = split_number(rest, '^')?;
        let (next, begin): (u64, u64) = (next.parse().ok()?, begin.unwrap_or(0));
        let offsets = next.checked_sub(begin)?;
        let rows = offsets.checked_sub(fewer.unwrap_or(0))?.checked_add(more.unwrap_or(0))?;
        let incarnation = *incarnations.get(usize::try_from(index.unwrap_or(0)).ok()?)?;
        let (begin, next, rejected) = (Offset(begin), Offset(next), rejected.unwrap_or(0));
        let position = Self { begin, next, incarnation, rows, rejected };
        Some((PartitionId(partition.parse().ok()?), position))
    }
}

/// Splits off what follows `mark`; `None` when that is no number.
fn split_number(text: &str, mark: char) -> Option<(&str, Option<u64>)> {
    match text.split_once(mark) {
        Some((rest, number)) => Some((rest, Some(number.parse().ok()?))),
        None => Some((text, None)),
    }
}

impl WireSink {
    fn parse(self) -> Result<SinkPositions, DecodeError> {
        let incarnations = self.inc.iter().map(|text| {
            u64::from_str_radix(text, 16).ok().ok_or_else(|| DecodeError::Partition(text.clone()))
        });
        let incarnations: Vec<u64> = incarnations.collect::<Result<_, _>>()?;
        let partitions = self.p.split(' ').filter(|text| !text.is_empty()).map(|text| {
            PartitionPosition::parse(text, &incarnations)
                .ok_or_else(|| DecodeError::Partition(text.to_owned()))
        });
        let partitions = partitions.collect::<Result<_, _>>()?;
        let topic = TopicName::new(&self.topic);
        Ok(SinkPositions {
            log: LogId(self.log),
            topic: topic.ok().ok_or(DecodeError::Topic(self.topic))?,
            topic_id: TopicId(self.id),
            partitions,
        })
    }
}

/// Offsets that share a field and a reason; most rejections of a commit have the same cause.
type WireRejections = Vec<(Option<String>, String, Vec<u64>)>;

/// Returns the text of rejections, as it stands in the table's property.
pub(crate) fn encode_rejections(rejections: &Rejections) -> String {
    let mut wire: BTreeMap<&str, BTreeMap<u32, WireRejections>> = BTreeMap::new();
    for (sink, partitions) in rejections {
        for (partition, rejected) in partitions {
            let mut causes: BTreeMap<(&Option<String>, &str), Vec<u64>> = BTreeMap::new();
            for rejection in rejected {
                let cause = (&rejection.field, rejection.reason.as_str());
                causes.entry(cause).or_default().push(rejection.offset.0);
            }
            let causes = causes
                .into_iter()
                .map(|((field, reason), offsets)| (field.clone(), reason.to_owned(), offsets));
            wire.entry(sink).or_default().insert(partition.0, causes.collect());
        }
    }
    serde_json::to_string(&wire).expect("a map with text keys always encodes")
}

/// Parses what [`encode_rejections`] wrote; offsets of a partition come in order.
pub(crate) fn decode_rejections(text: &str) -> Result<Rejections, DecodeError> {
    let wire: BTreeMap<String, BTreeMap<u32, WireRejections>> = serde_json::from_str(text)?;
    let mut rejections = Rejections::new();
    for (sink, partitions) in wire {
        let partitions = partitions.into_iter().map(|(partition, causes)| {
            let mut rejected: Vec<Rejection> = Vec::new();
            for (field, reason, offsets) in causes {
                rejected.extend(offsets.into_iter().map(|offset| Rejection {
                    offset: Offset(offset),
                    field: field.clone(),
                    reason: reason.clone(),
                }));
            }
            rejected.sort_by_key(|rejection| rejection.offset);
            (PartitionId(partition), rejected)
        });
        rejections.insert(sink, partitions.collect());
    }
    Ok(rejections)
}

#[cfg(test)]
mod tests;
