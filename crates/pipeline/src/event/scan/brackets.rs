//! Brackets: pairs each with the one that closes it, and judges what depends on the kind of the
//! object or array around it.
//!
//! Between two brackets everything belongs to the innermost object or array, so that a mask of a
//! whole stretch is judged at once: an array has no colons, and an object nothing without a key.

use super::Token;
use super::blocks::{BLOCK_BYTES, fit};

/// The masks of a block that matter here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masks {
    pub(super) operator: u64,
    pub(super) open: u64,
    pub(super) close: u64,
    pub(super) colon: u64,
    /// Tokens that show that what stands before them, or they themselves, have no key.
    pub(super) no_key: u64,
}

/// A bracket that is not yet closed: its token, and in the lowest bit whether it is an object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open(u32);

impl Open {
    #[inline(always)]
    fn new(token: Token, is_object: bool) -> Self {
        Self(token << 1 | u32::from(is_object))
    }

    #[inline(always)]
    fn is_object(self) -> bool {
        self.0 & 1 == 1
    }

    #[inline(always)]
    fn token(self) -> usize {
        (self.0 >> 1) as usize
    }
}

/// Where in the nesting the pass is.
#[derive(Debug)]
pub(super) struct Pairing<'t> {
    /// For each opening bracket the token that closes it.
    closes: &'t mut [Token],
    /// The brackets around the innermost.
    outer: &'t mut [Open],
    depth: usize,
    depth_max: usize,
    /// The innermost open bracket. Outside of everything it counts as an array: colons are
    /// refused there.
    inner: Open,
}

impl<'t> Pairing<'t> {
    #[inline(always)]
    pub(super) fn new(closes: &'t mut [Token], outer: &'t mut [Open], depth_max: usize) -> Self {
        Self { closes, outer, depth: 0, depth_max, inner: Open::default() }
    }

    /// Pairs the brackets of a block, before which there are `count` operators. Returns places
    /// that are wrong, `None` when the text cannot be well-formed.
    #[inline(always)]
    pub(super) fn block(
        &mut self,
        json: &[u8],
        at: usize,
        count: usize,
        masks: &Masks,
    ) -> Option<u64> {
        let &Masks { operator, open, close, colon, no_key } = masks;
        let mut left = open | close;
        let (mut wrong, mut done) = (0, 0);
        while left != 0 {
            // The bits up to and including the next bracket.
            let upto = left ^ left.wrapping_sub(1);
            wrong |= upto & !done & if self.inner.is_object() { no_key } else { colon };
            done = upto;
            let place = left.trailing_zeros();
            left &= left - 1;
            let token = fit(count + (operator & upto).count_ones() as usize - 1);
            // Braces differ from square brackets in this bit.
            let is_object = json[at + place as usize] & 0x20 != 0;
            if open >> place & 1 == 1 {
                if self.depth >= self.depth_max {
                    return None;
                }
                self.outer[self.depth] = self.inner;
                self.depth += 1;
                self.inner = Open::new(token, is_object);
            } else {
                if self.inner.is_object() != is_object {
                    return None;
                }
                self.closes[self.inner.token()] = token;
                self.depth = self.depth.checked_sub(1)?;
                self.inner = self.outer[self.depth];
            }
        }
        Some(wrong | !done & if self.inner.is_object() { no_key } else { colon })
    }

    /// Returns whether all brackets are closed, and the first and the last of all operators are
    /// those of one object.
    pub(super) fn is_one_object(&self, json: &[u8], places: &[u32]) -> bool {
        self.depth == 0
            && places.first().is_some_and(|first| json[*first as usize] == b'{')
            && self.closes[0] as usize == places.len() - 1
    }
}

const _: () = assert!(BLOCK_BYTES == u64::BITS as usize, "a mask is a block");
