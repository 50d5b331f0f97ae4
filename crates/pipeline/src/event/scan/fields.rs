//! Walks the fields of one object by its operators: brackets, commas and colons.
//!
//! A field is known by the number of its colon. Its key stands between the operator before and
//! the colon, its value between the colon and the operator after. The grammar was checked, so
//! that nothing but white space stands there beside them.

use std::ops::Range;

use super::blocks::fit;
use super::{Token, Tokens};
use crate::event::Kind;

impl Tokens {
    /// Calls `each` with each field of the object that begins at `object`, in the text that was
    /// read: its colon, and where its key stands, quotes included.
    #[inline(always)]
    pub(in crate::event) fn each_field<E>(
        &self,
        json: &[u8],
        object: Token,
        mut each: impl FnMut(Token, Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = self.closes[object as usize] as usize;
        let places = &self.places[..=end];
        let mut before = object as usize;
        let mut before_place = places[before] as usize;
        // Behind a colon there is one more operator at least: the end of the object.
        while let Some(&[colon_place, after_place]) = places[before + 1..].first_chunk() {
            let (colon, colon_place) = (before + 1, colon_place as usize);
            let key = begin_after(json, before_place)..end_before(json, colon_place);
            before = colon + 1;
            before_place = after_place as usize;
            if is_open(json[before_place]) {
                before = self.closes[before] as usize + 1;
                before_place = places[before] as usize;
            }
            each(fit(colon), key)?;
        }
        Ok(())
    }

    /// Returns whether the field's value is an object.
    #[inline]
    pub(in crate::event) fn is_object(&self, json: &[u8], colon: Token) -> bool {
        // A scalar is followed by a comma or the end of the object.
        json[self.at(colon + 1)] == b'{'
    }

    /// Returns where the field's key stands, quotes included.
    #[inline(always)]
    pub(in crate::event) fn key(&self, json: &[u8], colon: Token) -> Range<usize> {
        begin_after(json, self.at(colon - 1))..end_before(json, self.at(colon))
    }

    /// Returns where the field's value stands.
    #[inline(always)]
    pub(in crate::event) fn value(&self, json: &[u8], colon: Token) -> Range<usize> {
        let start = begin_after(json, self.at(colon));
        let after = colon + 1;
        let end = match json[start] {
            b'{' | b'[' => self.at(self.closes[after as usize]) + 1,
            _ => end_before(json, self.at(after)),
        };
        start..end
    }

    /// Returns the kind of the field's value.
    #[inline]
    pub(in crate::event) fn kind(&self, json: &[u8], colon: Token) -> Kind {
        Kind::of_first(json[begin_after(json, self.at(colon))])
    }

    /// Returns the operator at `place`.
    pub(in crate::event) fn at_place(&self, place: usize) -> Option<Token> {
        let found = self.places[..self.count].binary_search(&u32::try_from(place).ok()?).ok()?;
        u32::try_from(found).ok()
    }

    #[inline(always)]
    fn at(&self, token: Token) -> usize {
        self.places[token as usize] as usize
    }
}

/// Returns where what follows the operator at `place` begins.
#[inline(always)]
fn begin_after(json: &[u8], place: usize) -> usize {
    let start = place + 1;
    if is_space(json[start]) { skip_space(json, start) } else { start }
}

#[cold]
fn skip_space(json: &[u8], from: usize) -> usize {
    from + json[from..].iter().take_while(|byte| is_space(**byte)).count()
}

/// Returns where what stands before the operator at `place` ends.
#[inline(always)]
fn end_before(json: &[u8], place: usize) -> usize {
    if is_space(json[place - 1]) { trim_space(json, place) } else { place }
}

#[cold]
fn trim_space(json: &[u8], end: usize) -> usize {
    end - json[..end].iter().rev().take_while(|byte| is_space(**byte)).count()
}

#[inline(always)]
fn is_open(operator: u8) -> bool {
    operator | 0x20 == b'{'
}

/// No other byte up to 0x20 can stand beside an operator.
#[inline(always)]
fn is_space(byte: u8) -> bool {
    byte <= b' '
}
