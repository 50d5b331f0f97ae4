//! Memory between two pages that must not be touched: reading one byte too far ends the process.

#![expect(unsafe_code, reason = "maps memory; see docs/decisions/0002")]

use std::ptr::{null_mut, slice_from_raw_parts_mut};

/// The bytes of the room and of each guard: far more than the tests' texts, and a multiple of
/// every page's size.
const GUARD: usize = 64 << 10;

/// Where a text is put.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Nothing before it can be read.
    First,
    /// Nothing behind it can be read.
    Last,
}

/// The mapping: guard, room for a text, guard.
#[derive(Debug)]
pub(super) struct Guarded {
    start: *mut u8,
}

impl Guarded {
    pub(super) fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which touches no memory there is.
        let start = unsafe { libc::mmap(null_mut(), 3 * GUARD, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        let guarded = Self { start: start.cast() };
        // SAFETY: within the mapping, from a page's border on.
        let done = unsafe {
            libc::mprotect(guarded.room().cast(), GUARD, libc::PROT_READ | libc::PROT_WRITE)
        };
        assert_eq!(done, 0, "mprotect");
        guarded
    }

    /// Copies `text` to one end of the room.
    pub(super) fn hold(&mut self, text: &[u8], place: Place) -> &[u8] {
        assert!(text.len() <= GUARD, "the test's texts are short");
        let at = match place {
            Place::First => 0,
            Place::Last => GUARD - text.len(),
        };
        // SAFETY: the room is mapped for reading and writing, and borrowed from `self`.
        let room = unsafe { &mut *slice_from_raw_parts_mut(self.room(), GUARD) };
        let held = &mut room[at..at + text.len()];
        held.copy_from_slice(text);
        held
    }

    fn room(&self) -> *mut u8 {
        self.start.wrapping_add(GUARD)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows from it any more.
        let done = unsafe { libc::munmap(self.start.cast(), 3 * GUARD) };
        assert_eq!(done, 0, "munmap");
    }
}
