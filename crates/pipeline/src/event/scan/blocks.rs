//! The first pass: from bytes to tokens, 64 bytes at a time.
//!
//! ```text
//!   text       {"k\"1": [1, "a b"]}
//!   quotes      ^    ^       ^   ^       those that no backslash escapes
//!   in string   ^^^^^        ^^^^        from each opening quote up to its end
//!   operators  ^      ^ ^ ^          ^^  outside strings
//!   scalars     ^        ^   ^           first bytes of strings, numbers and words
//! ```

use super::syntax;
use crate::event::Malformed;

pub(super) const BLOCK_BYTES: usize = 64;

/// The classes of the bytes in a block; bit 0 is the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Classes {
    pub(super) quote: u64,
    pub(super) backslash: u64,
    /// `{ } [ ] , :`
    pub(super) operator: u64,
    /// Space, tab, line feed, carriage return.
    pub(super) space: u64,
    /// Below 0x20.
    pub(super) control: u64,
}

/// Classifies the bytes of blocks with the instructions of one kind of machine.
pub(super) trait Classify {
    /// Returns the classes of the bytes in `block`.
    fn classify(block: &[u8; BLOCK_BYTES]) -> Classes;
}

/// The places of tokens; the part of the vector behind `count` is scratch.
#[derive(Debug, Default)]
pub(super) struct Places {
    at: Vec<u32>,
    count: usize,
    /// Whether any string has an escape.
    pub(super) has_escapes: bool,
}

impl Places {
    /// Returns the places found.
    #[inline]
    pub(super) fn as_slice(&self) -> &[u32] {
        &self.at[..self.count]
    }

    /// Forgets all places and makes room for as many as `bytes` can hold.
    fn start(&mut self, bytes: usize) {
        self.count = 0;
        self.has_escapes = false;
        let room = bytes + 2 * BLOCK_BYTES;
        if self.at.len() < room {
            self.at.resize(room.next_power_of_two(), 0);
        }
    }

    /// Adds the places of the set bits.
    ///
    /// Eight at a time, whether there are so many or not: what is written too much is overwritten
    /// by the next block, and the branches become predictable.
    #[inline(always)]
    fn push(&mut self, mut bits: u64, at: u32) {
        let count = bits.count_ones() as usize;
        let room = self.at[self.count..].first_chunk_mut::<BLOCK_BYTES>();
        let room = room.expect("there is room for a block more than the text has");
        for eight in room.as_chunks_mut::<8>().0 {
            for place in eight {
                *place = at.wrapping_add(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
        self.count += count;
    }
}

/// What one block leaves to the next.
#[derive(Debug, Default)]
struct Carry {
    /// 1 when the first byte is escaped.
    escaped: u64,
    /// All ones when the block begins inside a string.
    in_string: u64,
    /// 1 when the byte before was a closing quote.
    closing: u64,
    /// 1 when the byte before belonged to a number or word.
    word: u64,
}

/// Finds the tokens of `json`, and checks strings: ends, control characters, escapes.
#[inline(always)]
pub(super) fn read<C: Classify>(json: &[u8], places: &mut Places) -> Result<(), Malformed> {
    places.start(json.len());
    let mut carry = Carry::default();
    let (blocks, rest) = json.as_chunks::<BLOCK_BYTES>();
    let mut at = 0;
    for block in blocks {
        read_block::<C>(json, block, at, &mut carry, places)?;
        at += BLOCK_BYTES;
    }
    if !rest.is_empty() {
        // Spaces after the end change nothing.
        let mut block = [b' '; BLOCK_BYTES];
        block[..rest.len()].copy_from_slice(rest);
        read_block::<C>(json, &block, at, &mut carry, places)?;
    }
    if carry.in_string != 0 { Err(syntax(json.len(), "string without an end")) } else { Ok(()) }
}

#[inline(always)]
fn read_block<C: Classify>(
    json: &[u8],
    block: &[u8; BLOCK_BYTES],
    at: usize,
    carry: &mut Carry,
    places: &mut Places,
) -> Result<(), Malformed> {
    let classes = C::classify(block);
    let escaped = carry.escaped_of(classes.backslash);
    let quote = classes.quote & !escaped;
    // Ones from each opening quote up to, and without, its closing quote.
    let in_string = prefix_xor(quote) ^ carry.in_string;
    carry.in_string = (in_string.cast_signed() >> 63).cast_unsigned();
    let opening = quote & in_string;
    let closing = quote & !in_string;
    let outside = !(in_string | quote);
    let operator = classes.operator & outside;
    let word = outside & !(classes.operator | classes.space);

    // Two scalars side by side: `"a""b"`, `"a"1`, `1"a"`.
    let after_closing = closing << 1 | carry.closing;
    let after_word = word << 1 | carry.word;
    let touching = (opening | word) & after_closing | opening & after_word;
    let control = classes.control & in_string;
    if touching | control != 0 {
        return Err(fault(at, touching, control));
    }
    if classes.backslash & in_string != 0 {
        places.has_escapes = true;
        // Each backslash that is not itself escaped begins an escape.
        check_escapes(json, at, classes.backslash & in_string & !escaped)?;
    }
    carry.closing = closing >> 63;
    carry.word = word >> 63;
    let at = u32::try_from(at).expect("texts are far below 4 GiB");
    places.push(operator | opening | word & !after_word, at);
    Ok(())
}

impl Carry {
    /// Returns which bytes a backslash before them escapes.
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
}

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

#[cold]
fn fault(at: usize, touching: u64, control: u64) -> Malformed {
    let (touching, control) = (touching.trailing_zeros(), control.trailing_zeros());
    if touching < control {
        syntax(at + touching as usize, "two values without a comma")
    } else {
        syntax(at + control as usize, "control character in a string")
    }
}

/// Checks the escapes that begin at the set bits.
#[cold]
fn check_escapes(json: &[u8], at: usize, mut starts: u64) -> Result<(), Malformed> {
    while starts != 0 {
        let start = at + starts.trailing_zeros() as usize;
        starts &= starts - 1;
        let is_legal = match json.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
            Some(b'u') => json
                .get(start + 2..start + 6)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
            _ => false,
        };
        if !is_legal {
            return Err(syntax(start, "unknown escape in a string"));
        }
    }
    Ok(())
}
