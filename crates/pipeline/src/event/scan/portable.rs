//! Classifies the bytes of a block without vector instructions.

use super::blocks::{self, BLOCK_BYTES, Classes, Classify, Places};
use crate::event::Malformed;

/// Finds the tokens of `json`.
pub(super) fn read(json: &[u8], places: &mut Places) -> Result<(), Malformed> {
    blocks::read::<Portable>(json, places)
}

/// One byte at a time.
struct Portable;

impl Classify for Portable {
    fn classify(block: &[u8; BLOCK_BYTES]) -> Classes {
        classify(block)
    }
}

fn classify(block: &[u8; BLOCK_BYTES]) -> Classes {
    let mut classes = Classes::default();
    for (place, byte) in block.iter().enumerate() {
        let bit = 1_u64 << place;
        match byte {
            b'"' => classes.quote |= bit,
            b'\\' => classes.backslash |= bit,
            b'{' | b'}' | b'[' | b']' | b',' | b':' => classes.operator |= bit,
            b' ' | b'\t' | b'\n' | b'\r' => classes.space |= bit,
            _ => {}
        }
        if *byte < b' ' {
            classes.control |= bit;
        }
    }
    classes
}
