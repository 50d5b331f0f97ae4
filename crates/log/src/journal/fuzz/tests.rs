//! Drives the fuzz targets by mutations of the committed fixture.

use millstream_runtime::Rng;

use crate::journal::tests::fixture::fixture_files;

const ROUNDS: u64 = 20_000;

/// Changes, cuts, repeats or inserts bytes at a few places.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len() as u64;
        let at = usize::try_from(rng.below(len)).unwrap();
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next_u64().to_le_bytes()[0],
            2 => bytes.truncate(at),
            3 => {
                let word = [0, 1, u64::MAX, 1 << 31, 1 << 63][rng.below(5) as usize].to_le_bytes();
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            4 => {
                let copied = bytes[at..(at + 64).min(bytes.len())].to_vec();
                let to = usize::try_from(rng.below(len)).unwrap();
                bytes.splice(to..to, copied);
            }
            _ => bytes.insert(at, rng.next_u64().to_le_bytes()[1]),
        }
    }
}

fn drive(name: &str, target: fn(&[u8]), inputs: &[Vec<u8>]) {
    for seed in 0..ROUNDS {
        let mut rng = Rng::from_seed(seed);
        let mut bytes = inputs[usize::try_from(rng.below(inputs.len() as u64)).unwrap()].clone();
        mutate(&mut bytes, &mut rng);
        let result = std::panic::catch_unwind(|| target(&bytes));
        assert!(result.is_ok(), "fuzz target {name} panics with seed {seed}");
    }
}

fn inputs(suffix: &str) -> Vec<Vec<u8>> {
    let files = fixture_files().into_iter();
    let inputs: Vec<Vec<u8>> =
        files.filter(|(name, _)| name.ends_with(suffix)).map(|(_, bytes)| bytes).collect();
    assert!(!inputs.is_empty());
    inputs
}

/// Splits segments into frames: each round should hit one, not the first of many.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for bytes in inputs(".journal") {
        let mut at = 0;
        while let Some(len) = super::frame::head_len(&bytes[at..]) {
            let head = &bytes[at..at + len as usize];
            frames.push(head.to_vec());
            let body = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
            at += len as usize + body as usize;
        }
    }
    frames
}

#[test]
fn decoding_any_frame_answers() {
    let sealed = |bytes: &[u8]| {
        super::frame(bytes);
        let mut bytes = bytes.to_vec();
        super::seal(&mut bytes);
        super::frame(&bytes);
    };
    drive("frame", sealed, &frames());
}

#[test]
fn decoding_any_index_answers() {
    let sealed = |bytes: &[u8]| {
        super::index(bytes);
        let mut bytes = bytes.to_vec();
        if let Some(len) = super::Directory::bytes_len(&bytes)
            && len <= bytes.len()
        {
            let crc = crc32c::crc32c(&bytes[8..len]);
            bytes[4..8].copy_from_slice(&crc.to_le_bytes());
            super::index(&bytes);
        }
    };
    drive("index", sealed, &inputs(".index"));
}

#[test]
fn recovering_any_segment_answers() {
    // The first byte tells whether checksums are made right; mutations change it too.
    let mut inputs = inputs(".journal");
    for (number, input) in inputs.iter_mut().enumerate() {
        input.insert(0, u8::try_from(number % 2).unwrap());
        input[0] |= 1;
    }
    drive("segment", super::segment, &inputs);
}
