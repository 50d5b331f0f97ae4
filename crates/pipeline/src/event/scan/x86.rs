//! The first pass with vector instructions: AVX2 where the machine has it, else SSE2, which every
//! x86-64 machine has.

#![expect(unsafe_code, reason = "calls into target features; see docs/decisions/0002")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_set_epi64x, _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set_epi64x, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_subs_epu8,
};

use super::blocks::{self, BLOCK_BYTES, Classes, Classify, Places};
use crate::event::Malformed;

/// Finds the tokens of `json` with the best instructions there are.
#[inline]
pub(super) fn read(json: &[u8], places: &mut Places) -> Result<(), Malformed> {
    // The answer is cached by the standard library: a load and a branch.
    let is_modern = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("popcnt");
    if is_modern {
        // SAFETY: the features were detected just now.
        unsafe { read_avx2(json, places) }
    } else {
        blocks::read::<Sse2>(json, places)
    }
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
fn read_avx2(json: &[u8], places: &mut Places) -> Result<(), Malformed> {
    blocks::read::<Avx2>(json, places)
}

/// Sixteen bytes at a time.
pub(super) struct Sse2;

/// Thirty-two bytes at a time; only for callers that have checked for AVX2.
struct Avx2;

impl Classify for Sse2 {
    #[inline(always)]
    fn classify(block: &[u8; BLOCK_BYTES]) -> Classes {
        // SAFETY: SSE2 is part of the x86-64 baseline.
        unsafe { classify_sse2(block) }
    }
}

impl Classify for Avx2 {
    #[inline(always)]
    fn classify(block: &[u8; BLOCK_BYTES]) -> Classes {
        // SAFETY: the type is private, and `read_avx2`, its only user, has the feature.
        unsafe { classify_avx2(block) }
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn classify_sse2(block: &[u8; BLOCK_BYTES]) -> Classes {
    let mut classes = Classes::default();
    let (vectors, _) = block.as_chunks::<16>();
    for (place, bytes) in vectors.iter().enumerate() {
        let vector = load_128(bytes);
        let shift = 16 * place;
        let is = |byte: u8| _mm_cmpeq_epi8(vector, _mm_set1_epi8(byte.cast_signed()));
        // Brackets differ from braces in one bit only.
        let folded = _mm_or_si128(vector, _mm_set1_epi8(0x20));
        let is_folded = |byte: u8| _mm_cmpeq_epi8(folded, _mm_set1_epi8(byte.cast_signed()));
        let or = |a, b| _mm_or_si128(a, b);
        let mask = |vector| u64::from(_mm_movemask_epi8(vector).cast_unsigned()) << shift;
        let operator = or(or(is_folded(b'{'), is_folded(b'}')), or(is(b','), is(b':')));
        let space = or(or(is(b' '), is(b'\t')), or(is(b'\n'), is(b'\r')));
        classes.quote |= mask(is(b'"'));
        classes.backslash |= mask(is(b'\\'));
        classes.operator |= mask(operator);
        classes.space |= mask(space);
        let low = _mm_min_epu8(vector, _mm_set1_epi8(0x1f));
        classes.control |= mask(_mm_cmpeq_epi8(low, vector));
    }
    classes
}

/// Looks most classes up by a byte's lower half: a byte belongs to the class if it equals what
/// the table has there (section 3.1.2 of the paper). Fewer steps than comparing with each member.
#[inline]
#[target_feature(enable = "avx2")]
fn classify_avx2(block: &[u8; BLOCK_BYTES]) -> Classes {
    // `,` `:` `{` `}` by their lower halves; no byte with lower half 0 is one of them.
    let operators = load_256(&twice(*b"\0\0\0\0\0\0\0\0\0\0:{,}\0\0"));
    // Where no space has that lower half stands a byte with another one.
    let spaces = load_256(&twice(*b" ddd\x11dq\x02d\t\npd\rdd"));
    let mut classes = Classes::default();
    let (vectors, _) = block.as_chunks::<32>();
    for (place, bytes) in vectors.iter().enumerate() {
        let vector = load_256(bytes);
        let shift = 32 * place;
        let mask = |vector| u64::from(_mm256_movemask_epi8(vector).cast_unsigned()) << shift;
        // Brackets differ from braces in one bit only. So do two control characters from `,` and
        // `:`, which are therefore taken out below.
        let folded = _mm256_or_si256(vector, _mm256_set1_epi8(0x20));
        let operator = _mm256_cmpeq_epi8(folded, _mm256_shuffle_epi8(operators, vector));
        let space = _mm256_cmpeq_epi8(vector, _mm256_shuffle_epi8(spaces, vector));
        let above = _mm256_subs_epu8(vector, _mm256_set1_epi8(0x1f));
        let quote = _mm256_cmpeq_epi8(vector, _mm256_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm256_cmpeq_epi8(vector, _mm256_set1_epi8(b'\\'.cast_signed()));
        classes.quote |= mask(quote);
        classes.backslash |= mask(backslash);
        classes.operator |= mask(operator);
        classes.space |= mask(space);
        classes.control |= mask(_mm256_cmpeq_epi8(above, _mm256_setzero_si256()));
    }
    classes.operator &= !classes.control;
    classes
}

#[inline(always)]
fn twice(table: [u8; 16]) -> [u8; 32] {
    std::array::from_fn(|place| table[place % 16])
}

/// Loads sixteen bytes; the compiler makes one unaligned load of it.
#[inline]
#[target_feature(enable = "sse2")]
fn load_128(bytes: &[u8; 16]) -> __m128i {
    let [low, high] = [word(bytes, 0), word(bytes, 1)];
    _mm_set_epi64x(high, low)
}

/// Loads thirty-two bytes; the compiler makes one unaligned load of it.
#[inline]
#[target_feature(enable = "avx2")]
fn load_256(bytes: &[u8; 32]) -> __m256i {
    _mm256_set_epi64x(word(bytes, 3), word(bytes, 2), word(bytes, 1), word(bytes, 0))
}

#[inline(always)]
fn word(bytes: &[u8], place: usize) -> i64 {
    i64::from_le_bytes(bytes.as_chunks::<8>().0[place])
}
