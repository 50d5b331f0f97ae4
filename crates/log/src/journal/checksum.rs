//! Joins CRC32C checksums: that of two runs of bytes, from the checksum of each.
//!
//! A CRC is a remainder of polynomials over GF(2), so the first one counts as if as many zero
//! bits followed as the second run has: it is multiplied by `x` to that power. The powers
//! `x^(2^n)` are computed once; about as many multiplications as the length has bits remain. The
//! `crc32c` crate squares matrices instead, which costs more than reading 64 KiB again.

/// The polynomial of CRC32C, its lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The polynomial `1`.
const ONE: u32 = 1 << 31;

/// `x^(2^n)` for each `n`: enough for any length in bits.
const POWERS: [u32; 64] = powers();

const fn powers() -> [u32; 64] {
    let mut powers = [0; 64];
    powers[0] = ONE >> 1;
    let mut n = 1;
    while n < 64 {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
}

/// Multiplies two polynomials, modulo that of CRC32C.
const fn multiply(a: u32, b: u32) -> u32 {
    let (mut product, mut shifted, mut bit) = (0, b, ONE);
    while bit != 0 {
        if a & bit != 0 {
            product ^= shifted;
        }
        shifted = if shifted & 1 == 0 { shifted >> 1 } else { (shifted >> 1) ^ POLYNOMIAL };
        bit >>= 1;
    }
    product
}

/// Returns the CRC32C of two runs of bytes, one behind the other.
pub(super) fn combine(first: u32, second: u32, second_len: usize) -> u32 {
    // A byte has 2^3 bits.
    let (mut shift, mut len, mut n) = (ONE, second_len, 3);
    while len != 0 {
        if len & 1 != 0 {
            shift = multiply(POWERS[n], shift);
        }
        len >>= 1;
        n += 1;
    }
    multiply(shift, first) ^ second
}

#[cfg(test)]
mod tests;
