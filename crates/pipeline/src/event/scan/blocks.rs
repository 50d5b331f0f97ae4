//! The fast pass: from bytes to masks, 64 bytes at a time, and the grammar on masks.
//!
//! ```text
//!   text       {"k\"1": [1, "a b"]}
//!   quotes      ^    ^       ^   ^       those that no backslash escapes
//!   in string   ^^^^^        ^^^^        from each opening quote up to its end
//!   operators  ^      ^ ^ ^          ^^  brackets, commas, colons outside strings
//!   words                ^               numbers and words, all bytes
//! ```
//!
//! The grammar is a question of neighbours: after a comma or colon comes a value, after a value
//! a comma, a closing bracket, or, after a key, a colon. A mask of tokens shifted by one, and
//! carried over white space by an addition, is the mask of what follows them. Two things depend
//! on the kind of the object or array around: they are *marked* here and judged by [`brackets`].

use super::brackets::{Masks, Pairing};
use super::words::{check_word, is_escape};
use super::{Characters, Tokens};

pub(super) const BLOCK_BYTES: usize = 64;

/// The classes of the bytes in a block; bit 0 is the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Classes {
    pub(super) quote: u64,
    pub(super) backslash: u64,
    pub(super) colon: u64,
    pub(super) comma: u64,
    /// `{` and `[`
    pub(super) open: u64,
    /// `}` and `]`
    pub(super) close: u64,
    /// Space, tab, line feed, carriage return.
    pub(super) space: u64,
    /// Below 0x20.
    pub(super) control: u64,
    /// Not ASCII: nothing but zero or not is meant.
    pub(super) high: u64,
}

impl Classes {
    /// Returns the classes of the last `count` bytes of the block, followed by spaces.
    #[inline(always)]
    fn last(self, count: usize) -> Self {
        let shift = BLOCK_BYTES - count;
        Self {
            quote: self.quote >> shift,
            backslash: self.backslash >> shift,
            colon: self.colon >> shift,
            comma: self.comma >> shift,
            open: self.open >> shift,
            close: self.close >> shift,
            space: self.space >> shift | u64::MAX << count,
            control: self.control >> shift,
            high: self.high,
        }
    }
}

/// Classifies the bytes of blocks with the instructions of one kind of machine.
pub(super) trait Classify {
    /// Returns the classes of the bytes in `block`.
    fn classify(block: &[u8; BLOCK_BYTES]) -> Classes;

    /// Returns for each bit the parity of the bits up to and including it.
    #[inline(always)]
    fn prefix_xor(mut bits: u64) -> u64 {
        bits ^= bits << 1;
        bits ^= bits << 2;
        bits ^= bits << 4;
        bits ^= bits << 8;
        bits ^= bits << 16;
        bits ^ bits << 32
    }

    /// Writes `at` plus the number of each set bit, in order; what is behind them is scratch.
    ///
    /// Eight at a time, whether there are so many or not: what is written too much is overwritten
    /// by the next block, and the branches become predictable.
    #[inline(always)]
    fn write_places(mut bits: u64, at: u32, places: &mut [u32; BLOCK_BYTES]) {
        for eight in places.as_chunks_mut::<8>().0 {
            for place in eight {
                *place = at.wrapping_add(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
    }
}

/// What one block leaves to the next.
#[derive(Debug, Default)]
struct Carry {
    /// 1 when the first byte is escaped.
    escaped: u64,
    /// All ones when the block begins inside a string.
    in_string: u64,
    /// 1 when the byte before belonged to a number or word.
    word: u64,
    /// 1 when the block begins inside a string that a colon may follow.
    key: u64,
    after: After,
}

/// For each kind of token the places where the token behind begins; as a carry 1 or 0.
#[derive(Debug, Default)]
struct After {
    colon: u64,
    comma: u64,
    open: u64,
    /// A closing bracket or quote, a number or a word.
    value: u64,
    /// A closing quote that a colon may follow.
    key: u64,
}

/// Checks `json` and finds its operators; `None` when it is malformed.
#[inline(always)]
pub(super) fn read<C: Classify>(json: &[u8], tokens: &mut Tokens) -> Option<Characters> {
    let mut pass = Pass {
        json,
        places: &mut tokens.places,
        count: 0,
        brackets: Pairing::new(&mut tokens.closes, &mut tokens.open, tokens.depth_max),
        carry: Carry::default(),
        wrong: 0,
        high: 0,
        escapes: 0,
    };
    let (blocks, rest) = json.as_chunks::<BLOCK_BYTES>();
    let mut at = 0;
    for block in blocks {
        pass.block::<C>(&C::classify(block), at)?;
        at += BLOCK_BYTES;
    }
    if !rest.is_empty() {
        let classes = match json.last_chunk::<BLOCK_BYTES>() {
            Some(block) => C::classify(block).last(rest.len()),
            None => {
                // Spaces after the end change nothing.
                let mut block = [b' '; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                C::classify(&block)
            }
        };
        pass.block::<C>(&classes, at)?;
    }
    let is_whole = pass.wrong == 0 && pass.carry.in_string == 0;
    if !is_whole || !pass.brackets.is_one_object(json, &pass.places[..pass.count]) {
        return None;
    }
    let is_ascii = pass.high == 0;
    tokens.has_escapes = pass.escapes != 0;
    tokens.count = pass.count;
    Some(if is_ascii { Characters::Ascii } else { Characters::Unknown })
}

/// The pass over one text.
struct Pass<'t> {
    json: &'t [u8],
    places: &'t mut [u32],
    count: usize,
    brackets: Pairing<'t>,
    carry: Carry,
    /// Not zero when anything was malformed; looked at once, at the end.
    wrong: u64,
    high: u64,
    escapes: u64,
}

impl Pass<'_> {
    #[inline(always)]
    fn block<C: Classify>(&mut self, classes: &Classes, at: usize) -> Option<()> {
        let carry = &mut self.carry;
        let escaped = carry.escaped_of(classes.backslash);
        let quote = classes.quote & !escaped;
        // Ones from each opening quote up to, and without, its closing quote.
        let in_string = C::prefix_xor(quote) ^ carry.in_string;
        carry.in_string = (in_string.cast_signed() >> 63).cast_unsigned();
        let opening = quote & in_string;
        let closing = quote & !in_string;
        let outside = !(in_string | quote);
        let colon = classes.colon & outside;
        let comma = classes.comma & outside;
        let open = classes.open & outside;
        let close = classes.close & outside;
        let space = classes.space & outside;
        let operator = colon | comma | open | close;
        let word = outside & !(operator | space);
        let after_word_byte = word << 1 | carry.word;
        carry.word = word >> 63;
        let word_start = word & !after_word_byte;

        let after = &mut carry.after;
        let after_colon = follow(&mut after.colon, colon, 0, space);
        let after_comma = follow(&mut after.comma, comma, 0, space);
        let after_open = follow(&mut after.open, open, 0, space);
        let after_word = after_word_byte & !word;
        let after_value = follow(&mut after.value, closing | close, after_word, space);
        // A string that comes first after a comma or an opening bracket may be a key.
        let first = after_comma | after_open;
        let key = carry.ends_of(opening & first, in_string, closing);
        let after_key = follow(&mut carry.after.key, key, 0, space);

        let value = opening | word_start | open;
        self.wrong |= (after_colon | first) & !(value | after_open & close)
            | after_value & !(comma | colon | close)
            | colon & !after_key
            | classes.control & in_string;
        self.high |= classes.high;
        // What comes first in an object, or after a comma there, is a key, and has a colon.
        let no_key = first & !(opening | close) | after_key & !colon;

        let room = self.places[self.count..].first_chunk_mut::<BLOCK_BYTES>();
        let room = room.expect("there is room for a block more than the text has");
        C::write_places(operator, fit(at), room);
        let masks = Masks { operator, open, close, colon, no_key };
        self.wrong |= self.brackets.block(self.json, at, self.count, &masks)?;
        self.count += operator.count_ones() as usize;

        let escapes = classes.backslash & in_string;
        if escapes != 0 {
            self.escapes |= escapes;
            // Each backslash that is not itself escaped begins an escape.
            check_escapes(self.json, at, escapes & !escaped)?;
        }
        let mut words = word_start;
        while words != 0 {
            check_word(self.json, at + words.trailing_zeros() as usize)?;
            words &= words - 1;
        }
        Some(())
    }
}

/// Narrows a place in a text.
#[inline(always)]
pub(super) fn fit(at: usize) -> u32 {
    debug_assert!(at <= super::EVENT_BYTES_MAX, "texts are far below 4 GiB");
    at as u32
}

/// Returns where the token after each of `ends` begins: one further, white space passed over.
/// `also` are places that are after a token already.
#[inline(always)]
fn follow(carry: &mut u64, ends: u64, also: u64, space: u64) -> u64 {
    let next = ends << 1 | *carry | also;
    *carry = ends >> 63;
    // Most texts have no white space outside strings.
    if space == 0 {
        return next;
    }
    // Added to a run of ones, a bit at its beginning comes out behind its end.
    let (past, overflow) = next.overflowing_add(space);
    *carry |= u64::from(overflow);
    past & !space
}

impl Carry {
    /// Returns the bytes that a backslash before them escapes.
    #[inline(always)]
    fn escaped_of(&mut self, backslash: u64) -> u64 {
        if backslash == 0 {
            return std::mem::take(&mut self.escaped);
        }
        // Runs of backslashes, told apart by whether they begin at an odd or an even place: see
        // section 3.1.1 of the paper.
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let backslash = backslash & !self.escaped;
        let follows = backslash << 1 | self.escaped;
        let odd_starts = backslash & !EVEN & !follows;
        let (even_runs, overflow) = odd_starts.overflowing_add(backslash);
        self.escaped = u64::from(overflow);
        (EVEN ^ (even_runs << 1)) & follows
    }

    /// Returns the closing quotes of the strings that begin at `starts`.
    #[inline(always)]
    fn ends_of(&mut self, starts: u64, in_string: u64, closing: u64) -> u64 {
        let (sum, overflow) = in_string.overflowing_add(starts);
        let (sum, carried) = sum.overflowing_add(self.key);
        self.key = u64::from(overflow | carried);
        sum & closing
    }
}

/// Checks the escapes that begin at the set bits.
#[cold]
fn check_escapes(json: &[u8], at: usize, mut starts: u64) -> Option<()> {
    while starts != 0 {
        let start = at + starts.trailing_zeros() as usize;
        starts &= starts - 1;
        if !is_escape(&json[start..]) {
            return None;
        }
    }
    Some(())
}
