//! Walks the frames of a file, and tells a torn tail from damage.
//!
//! A power cut may keep any part of what was written after the last sync: frames missing,
//! frames in the middle zero while later ones are whole. What was synced is whole. Each frame
//! says how far the file was durable when it was written, so: an invalid frame is a torn tail
//! when nothing valid behind it claims that the invalid place had been durable (L5).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_model::Incarnation;
use millstream_runtime::DiskFile;

use super::change::{Change, Section};
use super::error::{FileError, at_path};
use super::frame::{self, Head, Kind, MAGIC, NoHead, Stamp};

/// How much is read ahead.
const WINDOW_BYTES: usize = 1 << 20;

/// The part of a file that was read last.
#[derive(Debug)]
struct Window {
    file: Arc<dyn DiskFile>,
    end: u64,
    at: u64,
    bytes: Vec<u8>,
    /// How many bytes were read in all, for tests of how much recovery reads.
    bytes_read: u64,
}

impl Window {
    fn new(file: Arc<dyn DiskFile>, end: u64) -> Self {
        Self { file, end, at: 0, bytes: Vec::new(), bytes_read: 0 }
    }

    /// Returns up to `len` bytes at `at`, fewer only at the end.
    fn get(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let available = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(available);
        let held = at >= self.at && at + len as u64 <= self.at + self.bytes.len() as u64;
        if !held {
            let want = len.max(WINDOW_BYTES).min(available);
            self.bytes.resize(want, 0);
            self.at = at;
            self.file.read_exact_at(&mut self.bytes, at)?;
            self.bytes_read += want as u64;
        }
        let from = usize::try_from(at - self.at).expect("inside the window");
        Ok(&self.bytes[from..from + len])
    }
}

/// One frame, read and checked.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Where its body begins.
    pub body_at: u64,
    pub end: u64,
    pub stamp: Stamp,
    pub change: Change,
}

/// The first frame of a file.
#[derive(Debug, Clone)]
pub(super) struct FirstFrame {
    pub kind: Kind,
    pub stamp: Stamp,
    pub fields: Vec<u8>,
}

/// What stands at a place of a file.
#[derive(Debug)]
pub(super) enum Step {
    Frame(Box<Frame>),
    /// No valid frame begins here.
    Invalid(&'static str),
}

/// Walks the frames of one file.
#[derive(Debug)]
pub(super) struct Scan {
    path: PathBuf,
    window: Window,
    at: u64,
    previous: u32,
    incarnation: Incarnation,
}

impl Scan {
    /// Starts at the first frame of `file`, of which only `end` bytes are looked at.
    ///
    /// `Err` in the result says why the file has no valid first frame.
    pub(super) fn start(
        path: &Path,
        file: Arc<dyn DiskFile>,
        end: u64,
    ) -> Result<Result<(Self, FirstFrame), &'static str>, FileError> {
        let mut window = Window::new(file, end);
        let head = match read_head(path, &mut window, 0)? {
            Ok(head) => head,
            Err(reason) => return Ok(Err(reason)),
        };
        if head.stamp.previous != 0 || head.body_len != 0 {
            return Ok(Err("first frame does not head a file"));
        }
        let first = FirstFrame { kind: head.kind, stamp: head.stamp, fields: head.fields.to_vec() };
        let (at, previous, incarnation) = (head.frame_len(), head.crc, head.stamp.incarnation);
        let path = path.to_owned();
        Ok(Ok((Self { path, window, at, previous, incarnation }, first)))
    }

    /// Returns where the next frame begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Returns how many bytes were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.window.bytes_read
    }

    /// Reads the next frame and moves past it if it is valid.
    pub(super) fn step(&mut self) -> Result<Step, FileError> {
        let at = self.at;
        let head = match read_head(&self.path, &mut self.window, at)? {
            Ok(head) => head,
            Err(reason) => return Ok(Step::Invalid(reason)),
        };
        if head.stamp.incarnation != self.incarnation || head.stamp.previous != self.previous {
            return Ok(Step::Invalid("frame does not follow the one before it"));
        }
        let Some(change) = Change::decode(head.kind, head.fields) else {
            return Ok(Step::Invalid("fields of the frame do not add up"));
        };
        let (stamp, crc) = (head.stamp, head.crc);
        let body_at = at + u64::from(head.head_len);
        let (body_len, end) = (head.body_len as usize, at + head.frame_len());
        let body = self.window.get(body_at, body_len).map_err(at_path(&self.path))?;
        if let Err(reason) = check_body(change.sections(), body, body_len) {
            return Ok(Step::Invalid(reason));
        }
        self.at = end;
        self.previous = crc;
        Ok(Step::Frame(Box::new(Frame { body_at, end, stamp, change })))
    }

    /// Looks behind the last valid frame for one that proves that its end had been durable
    /// further than that: then the invalid place is damage, not a torn tail.
    pub(super) fn find_proof_of_damage(&mut self) -> Result<Option<u64>, FileError> {
        let cut = self.at;
        let mut from = cut;
        while let Some(at) = self.find_magic(from)? {
            if let Ok(head) = read_head(&self.path, &mut self.window, at)?
                && head.stamp.incarnation == self.incarnation
                && head.stamp.durable_end > cut
            {
                return Ok(Some(at));
            }
            from = at + 1;
        }
        Ok(None)
    }

    fn find_magic(&mut self, mut from: u64) -> Result<Option<u64>, FileError> {
        let magic = MAGIC.to_le_bytes();
        loop {
            let bytes = self.window.get(from, WINDOW_BYTES).map_err(at_path(&self.path))?;
            if bytes.len() < magic.len() {
                return Ok(None);
            }
            if let Some(found) = find(bytes, magic) {
                return Ok(Some(from + found as u64));
            }
            from += (bytes.len() - magic.len() + 1) as u64;
        }
    }
}

/// Returns where `magic` first occurs.
fn find(bytes: &[u8], magic: [u8; 4]) -> Option<usize> {
    let mut from = 0;
    while let Some(next) = bytes.get(from..)?.iter().position(|byte| *byte == magic[0]) {
        if bytes[from + next..].starts_with(&magic) {
            return Some(from + next);
        }
        from += next + 1;
    }
    None
}

/// Finds out whether any frame of the file is valid, wherever it begins.
pub(super) fn holds_any_frame(
    path: &Path,
    file: Arc<dyn DiskFile>,
    end: u64,
) -> Result<bool, FileError> {
    let incarnation = Incarnation::NONE;
    let window = Window::new(file, end);
    let mut scan = Scan { path: path.to_owned(), window, at: 0, previous: 0, incarnation };
    let mut from = 0;
    while let Some(at) = scan.find_magic(from)? {
        if read_head(path, &mut scan.window, at)?.is_ok() {
            return Ok(true);
        }
        from = at + 1;
    }
    Ok(false)
}

fn read_head<'w>(
    path: &Path,
    window: &'w mut Window,
    at: u64,
) -> Result<Result<Head<'w>, &'static str>, FileError> {
    let short = window.get(at, frame::HEAD_BYTES_MIN).map_err(at_path(path))?;
    let Some(len) = frame::head_len(short) else {
        return Ok(Err("no frame begins here"));
    };
    let head = window.get(at, len as usize).map_err(at_path(path))?;
    match frame::decode(head) {
        Ok(head) => Ok(Ok(head)),
        Err(NoHead::Invalid(reason)) => Ok(Err(reason)),
        Err(NoHead::Version(found)) => Err(FileError::Version { path: path.to_owned(), found }),
    }
}

/// Checks that the sections fill the body exactly and match their CRCs.
fn check_body(sections: &[Section], body: &[u8], body_len: usize) -> Result<(), &'static str> {
    if body.len() != body_len {
        return Err("records are cut short");
    }
    let mut rest = body;
    for section in sections {
        let (bytes, after) =
            rest.split_at_checked(section.bytes as usize).ok_or("sections exceed the frame")?;
        if crc32c::crc32c(bytes) != section.crc {
            return Err("records do not match their checksum");
        }
        rest = after;
    }
    rest.is_empty().then_some(()).ok_or("sections do not fill the frame")
}
