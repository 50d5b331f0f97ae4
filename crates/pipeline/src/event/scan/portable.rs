//! Classifies the bytes of a block without vector instructions.

use super::blocks::{self, BLOCK_BYTES, Classes, Classify};
use super::{Characters, Tokens};

/// Checks `json` and finds its operators.
pub(super) fn read(json: &[u8], tokens: &mut Tokens) -> Option<Characters> {
    blocks::read::<Portable>(json, tokens)
}

/// One byte at a time.
pub(super) struct Portable;

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
            b':' => classes.colon |= bit,
            b',' => classes.comma |= bit,
            b'{' | b'[' => classes.open |= bit,
            b'}' | b']' => classes.close |= bit,
            b' ' | b'\t' | b'\n' | b'\r' => classes.space |= bit,
            _ => {}
        }
        if *byte < b' ' {
            classes.control |= bit;
        }
        if !byte.is_ascii() {
            classes.high |= bit;
        }
    }
    classes
}
