//! Opening a journal: find the last good segment, cut its torn tail, begin the next.
//!
//! ```text
//!  1 sync directory          names that are read are names that stay
//!  2 newest segment          one whose head was never completed is removed, then the one before
//!  3 sync it                 what is read from now on is on disk, not only in memory
//!  4 walk its frames         up to the first invalid one: the cut; damage is refused (L5)
//!  5 begin the next segment  its head names the cut: this step commits the recovery
//!  6 tidy up                 abandoned files, the cut-off tail, the index
//! ```
//!
//! Stopping after any step leaves a journal that recovers to the same state. Older segments are
//! not read: the head of the newest says all that holds.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_model::{Incarnation, LogId, Timestamp};
use millstream_runtime::crash_point::crash_point;
use millstream_runtime::disk::{DiskFile, OpenMode};
use millstream_runtime::{Clock, Disk, Rng};
use tracing::{info, warn};
use uuid::Builder;

use super::active::{Active, Birth};
use super::archive::find_archived;
use super::error::{FileError, at_path};
use super::frame::Kind;
use super::index::{MemoryIndex, Summary};
use super::scan::{Scan, Step, holds_any_frame};
use super::segment::{Home, Segment, number_of};
use super::segment_table::SegmentTable;
use super::state::{Link, State};
use super::turn::draw_incarnation;

/// The directory below the journal's for what outlives its segment.
pub(super) const ARCHIVE: &str = "archive";

/// A journal after recovery, ready to be written.
#[derive(Debug)]
pub(super) struct Recovered {
    pub state: State,
    pub active: Active,
    pub segments: SegmentTable,
    /// How many bytes were cut off.
    pub bytes_cut: u64,
}

/// What recovery works with.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub disk: &'a Arc<dyn Disk>,
    pub dir: &'a Path,
    pub clock: &'a Clock,
    pub segment_bytes_max: u64,
}

/// The newest segment, walked to its end.
#[derive(Debug)]
struct Last {
    link: Link,
    state: State,
    segment: Segment,
    file: Arc<dyn DiskFile>,
    index: MemoryIndex,
    incarnation: Incarnation,
    time_last: Timestamp,
    /// Where the last group begins: what stands before it is durable.
    durable_end: u64,
    /// Where the last valid frame ends.
    end: u64,
    file_len: u64,
    bytes_read: u64,
}

/// Recovers the journal in a directory that exists and is locked.
pub(super) fn recover(site: &Site<'_>, rng: &mut Rng) -> Result<Recovered, FileError> {
    site.disk.sync_dir(site.dir).map_err(at_path(site.dir))?;
    let mut numbers = list(site)?;
    let last = find_last(site, &mut numbers)?;
    crash_point("journal.recovery.seal");
    let incarnation = draw_incarnation(rng);
    let segment_bytes_max = site.segment_bytes_max;
    let time = site.clock.now();
    let Some(last) = last else {
        let log = LogId(Builder::from_random_bytes(rng.next_u128().to_le_bytes()).into_uuid());
        info!(%log, "journal is new");
        let link = Link { number: 1, predecessor: 0, predecessor_end: 0 };
        let state = State::new(log);
        let birth = Birth { link, incarnation, time, state: &state, segment_bytes_max };
        let active = Active::create(site.disk, site.dir, &birth)?;
        let segments = SegmentTable::default();
        segments.insert(Arc::clone(&active.segment));
        return Ok(Recovered { state, active, segments, bytes_cut: 0 });
    };
    remove_abandoned(site, &mut numbers, &last)?;
    let link = last.successor();
    let birth = Birth { link, incarnation, time, state: &last.state, segment_bytes_max };
    let active = Active::create(site.disk, site.dir, &birth)?;
    let segments = SegmentTable::default();
    segments.insert(Arc::clone(&active.segment));
    if !last.has_records() {
        // Should the name come back, the next recovery finds it between two links of the chain.
        site.disk.remove(&last.segment.path).map_err(at_path(&last.segment.path))?;
    }
    for number in numbers.iter().filter(|number| **number < last.link.number) {
        let segment = Segment::unloaded(Arc::clone(site.disk), site.dir, *number, Home::Journal);
        segments.insert(Arc::new(segment));
    }
    find_archived(site.disk, site.dir, &numbers, &segments)?;
    let (bytes_read, bytes_cut) = (last.bytes_read, last.bytes_behind_end()?);
    let state = last.keep(&segments);
    info!(
        log = %state.log, segment = link.number, bytes_read, bytes_cut, "journal is recovered"
    );
    Ok(Recovered { state, active, segments, bytes_cut })
}

/// Lists the segments by number.
fn list(site: &Site<'_>) -> Result<BTreeSet<u64>, FileError> {
    let entries = site.disk.list(site.dir).map_err(at_path(site.dir))?;
    Ok(entries.iter().filter_map(|entry| number_of(&entry.name)).collect())
}

/// Finds the newest segment whose head was completed, and walks it. Removes newer ones.
fn find_last(site: &Site<'_>, numbers: &mut BTreeSet<u64>) -> Result<Option<Last>, FileError> {
    while let Some(number) = numbers.last().copied() {
        crash_point("journal.recovery.scan");
        let segment = Segment::unloaded(Arc::clone(site.disk), site.dir, number, Home::Journal);
        let path = segment.path.clone();
        let file = site.disk.open(&path, OpenMode::ReadWrite).map_err(at_path(&path))?;
        // What the cache holds may not be on disk yet; nobody may rely on it before it is.
        file.sync_data().map_err(at_path(&path))?;
        let file_len = file.len().map_err(at_path(&path))?;
        match Scan::start(&path, Arc::clone(&file), file_len)? {
            Ok((scan, first)) => {
                let corrupt = |reason| FileError::Corrupt { path: path.clone(), at: 0, reason };
                if first.kind != Kind::Snapshot {
                    return Err(corrupt("segment does not begin with a snapshot"));
                }
                let (link, state) = State::decode(&first.fields)
                    .filter(|(link, _)| link.number == number)
                    .ok_or_else(|| {
                        corrupt("snapshot at the head of the segment does not add up")
                    })?;
                let mut last = Last {
                    link,
                    state,
                    segment,
                    file,
                    index: MemoryIndex::default(),
                    incarnation: first.stamp.incarnation,
                    time_last: first.stamp.time,
                    durable_end: scan.at(),
                    end: scan.at(),
                    file_len,
                    bytes_read: 0,
                };
                last.walk(scan, &path)?;
                last.write_last_group_again().map_err(at_path(&path))?;
                return Ok(Some(last));
            }
            Err(reason) => {
                refuse_lost_head(&path, &file, file_len, numbers, reason)?;
                warn!(segment = number, reason, "segment was never completed, it is removed");
                site.disk.remove(&path).map_err(at_path(&path))?;
                site.disk.sync_dir(site.dir).map_err(at_path(site.dir))?;
                numbers.remove(&number);
            }
        }
    }
    Ok(None)
}

/// A head is durable before anything follows it. So a segment without one was never completed,
/// unless something does follow, or nothing older is there although it is not the first.
fn refuse_lost_head(
    path: &Path,
    file: &Arc<dyn DiskFile>,
    file_len: u64,
    numbers: &BTreeSet<u64>,
    reason: &'static str,
) -> Result<(), FileError> {
    let is_only = numbers.len() == 1 && numbers.first() != Some(&1);
    if is_only || holds_any_frame(path, Arc::clone(file), file_len)? {
        return Err(FileError::Corrupt { path: path.to_owned(), at: 0, reason });
    }
    Ok(())
}

impl Last {
    /// Applies every valid frame; what follows must be a torn tail.
    fn walk(&mut self, mut scan: Scan, path: &Path) -> Result<(), FileError> {
        let corrupt = |at, reason| FileError::Corrupt { path: path.to_owned(), at, reason };
        loop {
            let at = scan.at();
            match scan.step()? {
                Step::Frame(frame) => {
                    let time = frame.stamp.time;
                    self.state
                        .apply(&frame.change, self.incarnation, time)
                        .map_err(|reason| corrupt(at, reason))?;
                    self.index.add(frame.change.sections(), frame.body_at);
                    self.time_last = time;
                    self.durable_end = frame.stamp.durable_end;
                    self.end = frame.end;
                }
                Step::Invalid(reason) => {
                    if scan.find_proof_of_damage()?.is_some() {
                        return Err(corrupt(at, reason));
                    }
                    self.bytes_read = scan.bytes_read();
                    return Ok(());
                }
            }
        }
    }

    /// Writes the bytes of the last group once more, unchanged, and syncs them.
    ///
    /// A process that died between a failed sync and the next segment leaves pages that are
    /// clean in the cache and not on the disk: they would be read now, shown, and gone after a
    /// power cut. Written again they are dirty, and the sync means what it says.
    fn write_last_group_again(&self) -> io::Result<()> {
        let mut at = self.durable_end;
        let mut buf = vec![0; 1 << 20];
        if at == self.end {
            return Ok(());
        }
        while at < self.end {
            let len = buf.len().min(usize::try_from(self.end - at).unwrap_or(usize::MAX));
            self.file.read_exact_at(&mut buf[..len], at)?;
            self.file.write_all_at(&buf[..len], at)?;
            at += len as u64;
        }
        self.file.sync_data()
    }

    fn has_records(&self) -> bool {
        self.index.len() > 0
    }

    /// Returns the link of the next segment; one without records is left out of the chain.
    fn successor(&self) -> Link {
        let number = self.link.number + 1;
        if self.has_records() {
            return Link { number, predecessor: self.link.number, predecessor_end: self.end };
        }
        Link { number, ..self.link }
    }

    /// Returns how many bytes of a torn tail there are: what was allocated ahead is zero.
    fn bytes_behind_end(&self) -> Result<u64, FileError> {
        let mut last_written = self.end;
        let mut at = self.end;
        let mut buf = vec![0; 64 << 10];
        while at < self.file_len {
            let len = buf.len().min(usize::try_from(self.file_len - at).unwrap_or(usize::MAX));
            let read = match self.file.read_at(&mut buf[..len], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(at_path(&self.segment.path))?,
            };
            if read == 0 {
                break;
            }
            if let Some(place) = buf[..read].iter().rposition(|byte| *byte != 0) {
                last_written = at + place as u64 + 1;
            }
            at += read as u64;
        }
        Ok(last_written - self.end)
    }

    /// Seals the segment, now that its successor names its end; or removes it if it is empty.
    fn keep(self, segments: &SegmentTable) -> State {
        if !self.has_records() {
            return self.state;
        }
        if let Err(error) = self.file.set_len(self.end) {
            warn!(segment = self.link.number, %error, "cut-off tail stays on disk");
        }
        let summary = Summary {
            number: self.link.number,
            incarnation: self.incarnation,
            end: self.end,
            time_last: self.time_last,
        };
        let segment = self.segment.with_index(self.index, summary);
        segment.store_index();
        segments.insert(Arc::new(segment));
        self.state
    }
}

/// Removes segments that are not in the chain: attempts that failed, and empty ones whose removal
/// did not last. This is durable before the next segment exists: afterwards only the chain from
/// the newest to the one before it would be looked at.
fn remove_abandoned(
    site: &Site<'_>,
    numbers: &mut BTreeSet<u64>,
    last: &Last,
) -> Result<(), FileError> {
    let between = |number: &u64| *number > last.link.predecessor && *number < last.link.number;
    let abandoned: Vec<u64> = numbers.iter().copied().filter(between).collect();
    for number in &abandoned {
        let path: PathBuf = site.dir.join(super::segment::file_name(*number));
        site.disk.remove(&path).map_err(at_path(&path))?;
        numbers.remove(number);
    }
    if !abandoned.is_empty() {
        site.disk.sync_dir(site.dir).map_err(at_path(site.dir))?;
    }
    Ok(())
}
