//! The parser's border: checks a text in full and finds the structure of the object in it.
//!
//! One pass over blocks of 64 bytes turns the text into bit masks (strings, operators, words). The
//! grammar is checked on these masks, 64 bytes at a time: which token may follow which ([`blocks`]).
//! What masks cannot see is looked at singly: brackets, which are paired ([`brackets`]), and
//! numbers and words ([`words`]). Left behind are the places of brackets, commas and colons: an
//! object's fields are found from these alone, and nested values passed over ([`fields`]).
//!
//! The idea is simdjson's (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019), with
//! the second pass over tokens replaced by arithmetic on masks.
//!
//! The fast pass only says *that* a text is malformed; a plain parser ([`grammar`]) then says where
//! and why. That parser, a general one, and the portable form of the masks are the tests' oracles.
//! Nothing outside this module knows how fields are found.

#![expect(unsafe_code, reason = "text that was checked; see docs/decisions/0002")]

mod blocks;
mod brackets;
mod fields;
mod grammar;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable;
mod words;
#[cfg(target_arch = "x86_64")]
mod x86;

use brackets::Open;

use super::{Limits, Malformed};
#[cfg(not(target_arch = "x86_64"))]
use portable::read as read_blocks;
#[cfg(target_arch = "x86_64")]
use x86::read as read_blocks;

/// Offsets are kept in 30 bits beside two of meaning, and overlays need room beside the text.
pub(super) const EVENT_BYTES_MAX: usize = (1 << 30) - 1;

/// The deepest nesting that a limit can ask for: brackets wait on a stack of this size at most.
const DEPTH_MAX: u32 = 10_000;

/// The number of an operator: a bracket, comma or colon.
pub(super) type Token = u32;

/// The structure of one text.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Where each operator stands, in order; behind `count` it is scratch.
    places: Vec<u32>,
    count: usize,
    /// For each opening bracket the token that closes it; otherwise without meaning.
    closes: Vec<Token>,
    /// Brackets that are not yet closed: at least as many as `depth_max` lets be open.
    open: Vec<Open>,
    depth_max: usize,
    /// Whether any string has an escape.
    has_escapes: bool,
}

/// What the fast pass says of a text that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Characters {
    /// All of them are ASCII.
    Ascii,
    /// Some bytes are not, and have not been looked at.
    Unknown,
}

impl Tokens {
    /// Returns whether any string has an escape.
    pub(super) fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    /// Checks that `json` is one object, well-formed in every byte, and finds its structure.
    pub(super) fn read<'t>(
        &mut self,
        json: &'t [u8],
        limits: Limits,
    ) -> Result<&'t str, Malformed> {
        if json.len() > EVENT_BYTES_MAX {
            return Err(Malformed::TooLarge { bytes: json.len() });
        }
        let depth_max = limits.depth_max.min(DEPTH_MAX);
        self.start(json.len(), depth_max);
        match read_blocks(json, self) {
            // SAFETY: every byte is ASCII, which is UTF-8.
            Some(Characters::Ascii) => Ok(unsafe { std::str::from_utf8_unchecked(json) }),
            Some(Characters::Unknown) => match simdutf8::basic::from_utf8(json) {
                Ok(text) => Ok(text),
                Err(_where_is_not_told) => Err(Malformed::NotUtf8 { at: utf8_end(json) }),
            },
            None => Err(fault(json, depth_max)),
        }
    }

    /// Makes room for what a text of so many bytes can hold.
    fn start(&mut self, bytes: usize, depth_max: u32) {
        self.count = 0;
        self.has_escapes = false;
        let room = bytes + 2 * blocks::BLOCK_BYTES;
        if self.places.len() < room {
            self.places.resize(room.next_power_of_two(), 0);
            self.closes.resize(room.next_power_of_two(), 0);
        }
        // No more can be open than there are bytes.
        self.depth_max = bytes.min(depth_max as usize);
        if self.open.len() < self.depth_max {
            self.open.resize(self.depth_max.next_power_of_two(), Open::default());
        }
    }
}

/// Finds out why the fast pass did not take a text.
#[cold]
fn fault(json: &[u8], depth_max: u32) -> Malformed {
    let end = utf8_end(json);
    if end < json.len() {
        return Malformed::NotUtf8 { at: end };
    }
    grammar::check(json, depth_max).err().unwrap_or_else(|| {
        debug_assert!(false, "two parsers disagree: {}", String::from_utf8_lossy(json));
        Malformed::Syntax { at: 0, reason: "refused without a reason that can be told" }
    })
}

fn utf8_end(json: &[u8]) -> usize {
    std::str::from_utf8(json).map_or_else(|error| error.valid_up_to(), str::len)
}

#[cfg(test)]
mod tests;
