//! The fast pass with vector instructions: AVX-512 or AVX2 where the machine has them, else SSE2,
//! which every x86-64 machine has.

#![expect(unsafe_code, reason = "calls into target features; see docs/decisions/0002")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_clmulepi64_si128, _mm_cmpeq_epi8, _mm_cvtsi64_si128,
    _mm_cvtsi128_si64, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8, _mm256_shuffle_epi8, _mm512_add_epi32,
    _mm512_castsi512_si128, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_cvtepu8_epi32,
    _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_maskz_compress_epi8, _mm512_movepi8_mask,
    _mm512_or_si512, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_shuffle_epi8, _mm512_storeu_si512,
};

use super::blocks::{self, BLOCK_BYTES, Classes, Classify};
use super::{Characters, Tokens};

/// Checks `json` and finds its operators with the best instructions there are.
#[inline]
pub(super) fn read(json: &[u8], tokens: &mut Tokens) -> Option<Characters> {
    if has_avx512() {
        // SAFETY: the features were detected just now.
        unsafe { read_avx512(json, tokens) }
    } else if has_avx2() {
        // SAFETY: the features were detected just now.
        unsafe { read_avx2(json, tokens) }
    } else {
        read_sse2(json, tokens)
    }
}

/// Returns whether the machine has what [`read_avx512`] needs; a few loads and branches.
#[inline]
pub(super) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2")
}

/// Returns whether the machine has what [`read_avx2`] needs; a few loads and branches.
#[inline]
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("pclmulqdq")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx2,bmi1,bmi2,popcnt,pclmulqdq")]
pub(super) fn read_avx512(json: &[u8], tokens: &mut Tokens) -> Option<Characters> {
    blocks::read::<Avx512>(json, tokens)
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,pclmulqdq")]
pub(super) fn read_avx2(json: &[u8], tokens: &mut Tokens) -> Option<Characters> {
    blocks::read::<Avx2>(json, tokens)
}

pub(super) fn read_sse2(json: &[u8], tokens: &mut Tokens) -> Option<Characters> {
    blocks::read::<Sse2>(json, tokens)
}

/// Sixteen bytes at a time.
struct Sse2;

/// Thirty-two bytes at a time; only used by [`read_avx2`].
struct Avx2;

/// A block at a time; only used by [`read_avx512`].
struct Avx512;

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
        // SAFETY: the type is private, and `read_avx2`, its only user, has the features.
        unsafe { classify_avx2(block) }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: the type is private, and `read_avx2`, its only user, has the features.
        unsafe { prefix_xor(bits) }
    }
}

impl Classify for Avx512 {
    #[inline(always)]
    fn classify(block: &[u8; BLOCK_BYTES]) -> Classes {
        // SAFETY: the type is private, and `read_avx512`, its only user, has the features.
        unsafe { classify_avx512(block) }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: the type is private, and `read_avx512`, its only user, has the features.
        unsafe { prefix_xor(bits) }
    }

    #[inline(always)]
    fn write_places(bits: u64, at: u32, places: &mut [u32; BLOCK_BYTES]) {
        // SAFETY: the type is private, and `read_avx512`, its only user, has the features.
        unsafe { write_places_avx512(bits, at, places) }
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
        let space = or(or(is(b' '), is(b'\t')), or(is(b'\n'), is(b'\r')));
        let low = _mm_min_epu8(vector, _mm_set1_epi8(0x1f));
        classes.quote |= mask(is(b'"'));
        classes.backslash |= mask(is(b'\\'));
        classes.colon |= mask(is(b':'));
        classes.comma |= mask(is(b','));
        classes.open |= mask(is_folded(b'{'));
        classes.close |= mask(is_folded(b'}'));
        classes.space |= mask(space);
        classes.control |= mask(_mm_cmpeq_epi8(low, vector));
        classes.high |= mask(vector);
    }
    classes
}

/// White space by its lower half: a byte is white space if it equals what the table has there.
/// Where none has that lower half stands a byte with another one.
static SPACES: [u8; BLOCK_BYTES] = {
    let table = *b" ddd\x11dq\x02d\t\npd\rdd";
    let mut spaces = [0; BLOCK_BYTES];
    let mut place = 0;
    while place < BLOCK_BYTES {
        spaces[place] = table[place % table.len()];
        place += 1;
    }
    spaces
};

/// The number of each byte of a block.
static NUMBERS: [u8; BLOCK_BYTES] = {
    let mut numbers = [0; BLOCK_BYTES];
    let mut number = 0;
    while number < BLOCK_BYTES {
        numbers[number] = number as u8;
        number += 1;
    }
    numbers
};

#[inline]
#[target_feature(enable = "avx2")]
fn classify_avx2(block: &[u8; BLOCK_BYTES]) -> Classes {
    let spaces = load_256(&SPACES.as_chunks::<32>().0[0]);
    let mut classes = Classes::default();
    let (vectors, _) = block.as_chunks::<32>();
    for (place, bytes) in vectors.iter().enumerate() {
        let vector = load_256(bytes);
        let shift = 32 * place;
        let mask = |vector| u64::from(_mm256_movemask_epi8(vector).cast_unsigned()) << shift;
        let is = |byte: u8| mask(_mm256_cmpeq_epi8(vector, all_256(byte)));
        // Brackets differ from braces in one bit only.
        let folded = _mm256_or_si256(vector, all_256(0x20));
        let is_folded = |byte: u8| mask(_mm256_cmpeq_epi8(folded, all_256(byte)));
        let low = _mm256_min_epu8(vector, all_256(0x1f));
        classes.quote |= is(b'"');
        classes.backslash |= is(b'\\');
        classes.colon |= is(b':');
        classes.comma |= is(b',');
        classes.open |= is_folded(b'{');
        classes.close |= is_folded(b'}');
        classes.space |= mask(_mm256_cmpeq_epi8(vector, _mm256_shuffle_epi8(spaces, vector)));
        classes.control |= mask(_mm256_cmpeq_epi8(low, vector));
        classes.high |= mask(vector);
    }
    classes
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn classify_avx512(block: &[u8; BLOCK_BYTES]) -> Classes {
    let spaces = load_512(&SPACES);
    let vector = load_512(block);
    let all = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let is = |byte| _mm512_cmpeq_epi8_mask(vector, all(byte));
    // Brackets differ from braces in one bit only.
    let folded = _mm512_or_si512(vector, all(0x20));
    Classes {
        quote: is(b'"'),
        backslash: is(b'\\'),
        colon: is(b':'),
        comma: is(b','),
        open: _mm512_cmpeq_epi8_mask(folded, all(b'{')),
        close: _mm512_cmpeq_epi8_mask(folded, all(b'}')),
        space: _mm512_cmpeq_epi8_mask(vector, _mm512_shuffle_epi8(spaces, vector)),
        control: _mm512_cmplt_epu8_mask(vector, all(0x20)),
        high: _mm512_movepi8_mask(vector),
    }
}

#[inline]
#[target_feature(enable = "pclmulqdq")]
fn prefix_xor(bits: u64) -> u64 {
    // A product without carries by all ones is the running parity.
    let bits = _mm_cvtsi64_si128(bits.cast_signed());
    let product = _mm_clmulepi64_si128::<0>(bits, _mm_set1_epi8(-1));
    _mm_cvtsi128_si64(product).cast_unsigned()
}

/// Sixteen places at a time, by compressing the numbers of all bits to those that are set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
fn write_places_avx512(bits: u64, at: u32, places: &mut [u32; BLOCK_BYTES]) {
    let at = _mm512_set1_epi32(at.cast_signed());
    let numbers = _mm512_maskz_compress_epi8(bits, load_512(&NUMBERS));
    let (sixteens, _) = places.as_chunks_mut::<16>();
    store_places(_mm512_castsi512_si128(numbers), at, &mut sixteens[0]);
    if bits.count_ones() > 16 {
        store_places(_mm512_extracti32x4_epi32::<1>(numbers), at, &mut sixteens[1]);
        store_places(_mm512_extracti32x4_epi32::<2>(numbers), at, &mut sixteens[2]);
        store_places(_mm512_extracti32x4_epi32::<3>(numbers), at, &mut sixteens[3]);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_places(numbers: __m128i, at: __m512i, places: &mut [u32; 16]) {
    let found = _mm512_add_epi32(_mm512_cvtepu8_epi32(numbers), at);
    // SAFETY: sixteen places are written to an array of sixteen.
    unsafe { _mm512_storeu_si512(places.as_mut_ptr().cast(), found) };
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_128(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are read from an array of sixteen.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: thirty-two bytes are read from an array of thirty-two.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: sixty-four bytes are read from an array of sixty-four.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn all_256(byte: u8) -> __m256i {
    _mm256_set1_epi8(byte.cast_signed())
}

#[cfg(test)]
pub(super) mod tests;
