use super::super::portable::Portable;
use super::super::tests::Form;
use super::*;

/// Returns the forms of the fast pass that this machine can run.
pub(in super::super) fn forms() -> Vec<Form> {
    let mut forms: Vec<Form> = vec![read_sse2];
    if has_avx2() {
        // SAFETY: the features were detected just now.
        forms.push(|json, tokens| unsafe { read_avx2(json, tokens) });
    }
    if has_avx512() {
        // SAFETY: the features were detected just now.
        forms.push(|json, tokens| unsafe { read_avx512(json, tokens) });
    }
    forms
}

/// Checks that each form sees in `block` and `bits` what the portable form sees.
pub(in super::super) fn check_block(block: &[u8; BLOCK_BYTES], bits: u64) {
    check::<Sse2>(block, bits);
    if has_avx2() {
        check::<Avx2>(block, bits);
    }
    if has_avx512() {
        check::<Avx512>(block, bits);
    }
}

fn check<C: Classify>(block: &[u8; BLOCK_BYTES], bits: u64) {
    assert_eq!(C::classify(block), Portable::classify(block), "{block:?}");
    assert_eq!(C::prefix_xor(bits), Portable::prefix_xor(bits), "{bits:x}");
    let count = bits.count_ones() as usize;
    let (mut found, mut expected) = ([0; BLOCK_BYTES], [0; BLOCK_BYTES]);
    C::write_places(bits, 1000, &mut found);
    Portable::write_places(bits, 1000, &mut expected);
    assert_eq!(found[..count], expected[..count], "{bits:x}");
}
