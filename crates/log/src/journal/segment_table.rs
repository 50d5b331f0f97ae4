//! The segments of a journal, archived ones among them, in the order they were written.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use millstream_model::Offset;
use millstream_runtime::disk::DiskFile;

use super::codec::{PartitionKey, Take};
use super::error::{FileError, at_path};
use super::frame::Kind;
use super::scan::{FirstFrame, Scan};
use super::segment::{Home, Segment};
use super::state::{Link, decode_link};

/// The segments by number. An archived segment stands in the place of the one it came from.
#[derive(Debug, Default)]
pub(super) struct SegmentTable {
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
}

impl SegmentTable {
    /// Adds or replaces a segment.
    pub(super) fn insert(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(segment.number, segment);
    }

    /// Takes a segment out; readers that hold it go on reading it.
    pub(super) fn remove(&self, number: u64) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Returns all segments, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.values().cloned().collect()
    }

    /// Returns the number of segments.
    pub(super) fn len(&self) -> usize {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Finds the segment that holds a record, newest first: most readers are near the end.
    pub(super) fn find(
        &self,
        key: PartitionKey,
        offset: Offset,
    ) -> Result<Option<Arc<Segment>>, FileError> {
        for segment in self.all().into_iter().rev() {
            self.load(&segment)?;
            if let Some((start, end)) = segment.range(key)
                && start <= offset
            {
                return Ok((offset < end).then_some(segment));
            }
        }
        Ok(None)
    }

    /// Finds the next segment after `number` that holds records of a partition.
    pub(super) fn find_after(
        &self,
        number: u64,
        key: PartitionKey,
    ) -> Result<Option<Arc<Segment>>, FileError> {
        let after: Vec<Arc<Segment>> = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            let range = segments.range((Bound::Excluded(number), Bound::Unbounded));
            range.map(|(_, segment)| Arc::clone(segment)).collect()
        };
        for segment in after {
            self.load(&segment)?;
            if segment.range(key).is_some() {
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }

    /// Makes sure that the index of a segment is loaded.
    pub(super) fn load(&self, segment: &Segment) -> Result<(), FileError> {
        segment.load(|| self.exact_end(segment))
    }

    /// Finds out where a sealed segment ends: its successor's head names it.
    fn exact_end(&self, segment: &Segment) -> Result<u64, FileError> {
        if segment.home == Home::Archive {
            return segment.file()?.len().map_err(at_path(&segment.path));
        }
        let successor = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            let mut after = segments.range((Bound::Excluded(segment.number), Bound::Unbounded));
            after.next().map(|(_, successor)| Arc::clone(successor))
        };
        let missing = FileError::Corrupt {
            path: segment.path.clone(),
            at: 0,
            reason: "the segment after it is missing, so its end is unknown",
        };
        let Some(successor) = successor else { return Err(missing) };
        let file = successor.file()?;
        match read_link(&successor.path, file)? {
            Some((link, _)) if link.predecessor == segment.number => Ok(link.predecessor_end),
            Some((link, _)) if link.predecessor < segment.number => head_end(segment),
            _ => Err(missing),
        }
    }
}

/// Returns where the head of a segment ends. The chain passes over this one: it holds no record,
/// and is there because its removal did not last.
fn head_end(segment: &Segment) -> Result<u64, FileError> {
    let file = segment.file()?;
    let file_len = file.len().map_err(at_path(&segment.path))?;
    match Scan::start(&segment.path, file, file_len)? {
        Ok((scan, _)) => Ok(scan.at()),
        Err(reason) => Err(FileError::Corrupt { path: segment.path.clone(), at: 0, reason }),
    }
}

/// Reads the head of a segment; `None` when it has no valid one.
pub(super) fn read_link(
    path: &Path,
    file: Arc<dyn DiskFile>,
) -> Result<Option<(Link, FirstFrame)>, FileError> {
    let end = file.len().map_err(at_path(path))?;
    let Ok((_, first)) = Scan::start(path, file, end)? else { return Ok(None) };
    if first.kind != Kind::Snapshot {
        return Ok(None);
    }
    Ok(decode_link(&mut Take(&first.fields)).map(|link| (link, first)))
}
