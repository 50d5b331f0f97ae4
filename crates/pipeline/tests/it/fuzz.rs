//! Mutated bytes through everything that decodes: no panic, and the answers of an oracle.

use millstream_model::record::RecordBatch;
use millstream_pipeline::counts::Beginning;
use millstream_pipeline::datetime::forms::{parse_number, parse_text};
use millstream_pipeline::event::Limits;
use millstream_pipeline::{Counts, DeadLetter, EventBuffers, Origin, Path};
use millstream_runtime::Rng;
use serde_json::Value;

const ROUNDS: usize = 60_000;

/// Texts that mutation starts from.
const CORPUS: [&str; 12] = [
    r#"{"user_id":"u1","event":"click","timestamp":1795342272345,"properties":{"channel":null}}"#,
    r#" {"a" : [1, 2.5e-3, {"b":[]}], "k\"\\\u0041\ud83d\ude00":"\n", "é":"😀" } "#,
    r#"{"a":{"b":{"c":{"d":{"e":true}}}},"n":null,"x":-0.0}"#,
    r#"{"a":1,"a":2}"#,
    "{}",
    "[]",
    "2026-11-22T10:11:12.345+01:00",
    "2026-11-22 10:11:12",
    "Sun, 22 Nov 2026 10:11:12 +0100",
    "20261122T101112Z",
    "1795342272.345",
    "events/3/42",
];

/// Feeds one input to everything that decodes.
fn decode(data: &[u8], buffers: &mut EventBuffers) {
    event(data, buffers);
    if let Ok(text) = std::str::from_utf8(data) {
        for moment in [parse_text(text), parse_number(text)].into_iter().flatten() {
            let iso = moment.to_iso8601();
            let text = std::str::from_utf8(&iso).expect("ASCII");
            assert_eq!(parse_text(text).map(|again| again.as_millis()), Some(moment.as_millis()));
        }
        if let Ok(origin) = Origin::parse(text) {
            assert_eq!(Origin::parse(&origin.to_string()), Ok(origin));
        }
    }
    if let Ok(counts) = Counts::decode(data) {
        assert_eq!(counts.encode(), data);
    }
    if let Ok(beginning) = Beginning::decode(data) {
        assert_eq!(beginning.encode(), data);
    }
    if let Ok(batch) = RecordBatch::decode(data.to_vec().into(), 1) {
        // Any answer will do: the point is that there is one.
        drop(DeadLetter::parse(batch.iter().next().expect("one record").headers));
    }
}

/// What is taken as an event is one to another parser too, and the other way round.
fn event(data: &[u8], buffers: &mut EventBuffers) {
    let oracle =
        std::str::from_utf8(data).ok().and_then(|_| serde_json::from_slice::<Value>(data).ok());
    let is_object = oracle.as_ref().is_some_and(Value::is_object);
    let path = Path::parse("a.b").expect("a path");
    match buffers.read(data, Limits::default()) {
        Ok(mut event) => {
            // The oracle also refuses lone surrogates and numbers out of range in values; that
            // is decided here when such a value is read.
            if let Some(Value::Object(tree)) = &oracle {
                // A key that occurs twice below is only seen when the path leads there.
                if let Ok(found) = event.get(&path) {
                    let found = found.map(|value| value.text().to_owned());
                    let found = found.and_then(|json| serde_json::from_str::<Value>(&json).ok());
                    assert_eq!(found.as_ref(), tree.get("a").and_then(|a| a.get("b")));
                }
            }
            // Refused where `a` is no object: the event is then written as it was.
            drop(event.set(&path, |json| json.push('1')));
            let mut out = Vec::new();
            event.write_to(&mut out);
            assert!(oracle.is_none() || serde_json::from_slice::<Value>(&out).is_ok());
        }
        Err(error) => {
            let is_stricter =
                error.to_string().contains("twice") || error.to_string().contains("deeper");
            assert!(!is_object || is_stricter, "{error}: {}", String::from_utf8_lossy(data));
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a failing seed must be seen")]
fn mutated_input_never_panics() {
    let seed =
        std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122);
    eprintln!("FUZZ_SEED={seed}");
    let mut rng = Rng::from_seed(seed);
    let mut buffers = EventBuffers::new();
    let mut corpus: Vec<Vec<u8>> = CORPUS.iter().map(|text| text.as_bytes().to_vec()).collect();
    corpus.push(Counts::default().encode().to_vec());
    let origin = Origin::parse("events/3/42").expect("an origin");
    corpus.push(Beginning::at(origin.partition, origin.offset).encode().to_vec());
    for _ in 0..ROUNDS {
        let mut data = corpus[pick(&mut rng, corpus.len())].clone();
        for _ in 0..=rng.below(4) {
            mutate(&mut data, &corpus, &mut rng);
        }
        decode(&data, &mut buffers);
    }
}

fn pick(rng: &mut Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).expect("below a length")
}

fn mutate(data: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = pick(rng, data.len() + 1);
    match rng.below(6) {
        0 if at < data.len() => data[at] = rng.next_u64().to_le_bytes()[0],
        1 if at < data.len() => drop(data.remove(at)),
        2 => data.insert(at, b"{}[]\",:\\0-e.u tn\xff\x00"[pick(rng, 18)]),
        3 => data.truncate(at),
        4 => {
            let other = &corpus[pick(rng, corpus.len())];
            let from = pick(rng, other.len() + 1);
            data.splice(at..at, other[from..].iter().copied());
        }
        _ if at < data.len() => data[at] ^= 1 << rng.below(8),
        _ => {}
    }
}
