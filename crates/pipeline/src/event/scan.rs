//! The parser's border: checks a text in full and finds the structure of the object in it.
//!
//! One pass over blocks of 64 bytes turns the text into bit masks (quotes, escapes, what stands
//! inside strings) and these into *tokens*: where each bracket, comma, colon and scalar begins
//! ([`blocks`]). A second pass over the tokens checks the grammar and joins each bracket with the
//! one that closes it ([`grammar`]), so that fields are found, and nested values passed over,
//! without looking at the text again. The idea is simdjson's (Langdale and Lemire, "Parsing
//! Gigabytes of JSON per Second", 2019).
//!
//! Nothing outside this module knows how fields are found. A general parser is the oracle of its
//! tests, and so is the portable form of the first pass.

mod blocks;
mod fields;
mod grammar;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use blocks::Places;

use super::{Limits, Malformed};
#[cfg(not(target_arch = "x86_64"))]
use portable::read as read_blocks;
#[cfg(target_arch = "x86_64")]
use x86::read as read_blocks;

/// Offsets are kept in 32 bits, and overlays need room beside the text.
const EVENT_BYTES_MAX: usize = 1 << 30;

/// The deepest nesting that a limit can ask for: brackets wait on a stack of this size at most.
const DEPTH_MAX: u32 = 10_000;

/// Where an object begins among the tokens.
pub(super) type Token = u32;

/// The structure of one text.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Where each bracket, comma, colon and scalar begins, in order.
    places: Places,
    /// For each opening bracket the token that closes it; otherwise without meaning.
    closes: Vec<Token>,
    /// Opening brackets that are not yet closed; scratch of the second pass.
    open: Vec<grammar::Bracket>,
}

impl Tokens {
    /// Returns whether any string has an escape.
    pub(super) fn has_escapes(&self) -> bool {
        self.places.has_escapes
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
        let text = match simdutf8::basic::from_utf8(json) {
            Ok(text) => text,
            Err(_where_is_not_told) => return Err(Malformed::NotUtf8 { at: utf8_end(json) }),
        };
        read_blocks(json, &mut self.places)?;
        let depth_max = limits.depth_max.min(DEPTH_MAX);
        grammar::check(json, self, depth_max)?;
        Ok(text)
    }
}

/// A fault at a byte of the text.
fn syntax(at: usize, reason: &'static str) -> Malformed {
    Malformed::Syntax { at, reason }
}

fn utf8_end(json: &[u8]) -> usize {
    std::str::from_utf8(json).map_or_else(|error| error.valid_up_to(), str::len)
}

#[cfg(test)]
mod tests;
