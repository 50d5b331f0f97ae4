use millstream_runtime::Rng;

use super::blocks::BLOCK_BYTES;
use super::*;

mod guarded;

use guarded::{Guarded, Place};

fn read(json: &str) -> (Tokens, Result<(), Malformed>) {
    let mut tokens = Tokens::default();
    let read = tokens.read(json.as_bytes(), Limits::default()).map(|_text| ());
    (tokens, read)
}

fn entries(json: &str) -> Vec<(&str, &str)> {
    let (tokens, read) = read(json);
    read.expect("well-formed");
    let bytes = json.as_bytes();
    let mut entries = Vec::new();
    let each = |colon, key| {
        entries.push((&json[key], &json[tokens.value(bytes, colon)]));
        Ok::<_, Malformed>(())
    };
    tokens.each_field(bytes, 0, each).expect("never fails");
    entries
}

#[test]
fn keys_and_values_stand_where_they_are_said_to() {
    let json =
        " {\"a\" : 1 ,\n\"b\\\"c\":\"x\" , \"\":{\"d\":[ ]}\t, \"e\":\"}\",\"f\":[1,[{}]] } ";
    let expected = [
        ("\"a\"", "1"),
        ("\"b\\\"c\"", "\"x\""),
        ("\"\"", "{\"d\":[ ]}"),
        ("\"e\"", "\"}\""),
        ("\"f\"", "[1,[{}]]"),
    ];
    assert_eq!(entries(json), expected);
    assert!(entries("{ }").is_empty());
}

/// Wherever a text stands in its blocks, the answer is the same.
#[test]
fn block_borders_change_nothing() {
    let texts = [
        (r#"{"k\\\"":"\\\\","s":"a\"b","n":[-1.5e+3,true]}"#, true),
        (r#"{"k":"\\"",":1}"#, false),
        (r#"{"a":"x""b":1}"#, false),
        (r#"{"a":12"b"}"#, false),
        (r#"{"a":"b"1}"#, false),
        ("{\"a\":\"\u{1}\"}", false),
        (r#"{"a":"\u00e9\ud83d\ude00"}"#, true),
        (r#"{"a":"\u00g9"}"#, false),
        (r#"{"a":"\x"}"#, false),
    ];
    for (text, is_good) in texts {
        for before in 0..2 * BLOCK_BYTES {
            let json = format!("{}{text}", " ".repeat(before));
            assert_eq!(read(&json).1.is_ok(), is_good, "{before} {text}");
        }
    }
}

/// Bytes that matter, whatever they mean, through each form of the fast pass.
#[test]
#[cfg(target_arch = "x86_64")]
fn every_form_of_the_fast_pass_sees_the_same_masks() {
    let mut rng = Rng::from_seed(5);
    let mut block = [0; BLOCK_BYTES];
    for _ in 0..20_000 {
        for byte in &mut block {
            *byte = rng.next_u64().to_le_bytes()[0];
            if rng.chance(1, 2) {
                *byte = pick(
                    &mut rng,
                    b"\"\\{}[],: \t\n\r\x00\x1f\x20a\x7f\x80\xff\x0b\x5d\x1a\x0c\x2cun0",
                );
            }
        }
        x86::tests::check_block(&block, rng.next_u64() & rng.next_u64());
    }
}

/// One text through each form of the fast pass, as the last and as the first bytes that can be
/// read at all: what reads past an end ends the test.
#[test]
fn no_form_of_the_fast_pass_reads_past_the_text() {
    let mut rng = Rng::from_seed(6);
    let mut guarded = Guarded::new();
    let mut taken = 0;
    for round in 0..30_000 {
        let text = mutated(&mut rng, round);
        let expected = read_by(portable::read, &text);
        for place in [Place::First, Place::Last] {
            let text = guarded.hold(&text, place);
            let taken = Tokens::default().read(text, Limits::default()).is_ok();
            let is_utf8 = std::str::from_utf8(text).is_ok();
            assert_eq!(taken, expected.is_some() && is_utf8);
            #[cfg(target_arch = "x86_64")]
            for form in x86::tests::forms() {
                assert_eq!(read_by(form, text), expected, "{}", String::from_utf8_lossy(text));
            }
        }
        taken += usize::from(expected.is_some());
    }
    assert!(taken > 5_000, "only {taken} were well-formed");
}

pub(super) type Form = fn(&[u8], &mut Tokens) -> Option<Characters>;

/// What a form of the fast pass finds: operators, what closes each bracket, and the rest.
type Found = (Characters, Vec<u32>, Vec<Token>, bool);

fn read_by(form: Form, text: &[u8]) -> Option<Found> {
    let mut tokens = Tokens::default();
    tokens.start(text.len(), 1000);
    let characters = form(text, &mut tokens)?;
    let places = tokens.places[..tokens.count].to_vec();
    let is_open = |place: &u32| matches!(text[*place as usize], b'{' | b'[');
    let open = places.iter().zip(&tokens.closes).filter(|(place, _)| is_open(place));
    let closes = open.map(|(_, close)| *close).collect();
    Some((characters, places, closes, tokens.has_escapes))
}

fn pick(rng: &mut Rng, bytes: &[u8]) -> u8 {
    bytes[usize::try_from(rng.below(bytes.len() as u64)).expect("small")]
}

/// A text that is nearly, or still, an event.
fn mutated(rng: &mut Rng, round: usize) -> Vec<u8> {
    let corpus = [
        r#"{"a":[1,2.5e-3,{"b":[]}],"k\"\\":"\n","é":"😀","t":true,"f":false,"n":null,"z":-0}"#,
        r#" { "a" : { "b" : [ [ ] , { } , "x\u0041" ] } , "c" : "\\\\" } "#,
        r#"{"long":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"","x":1}"#,
        r#"{"a":["b","c",["d"],{"e":"f","g":["h",1]},"i"],"j":{"k":{"l":"m"},"n":"o"},"p":["q"]}"#,
        "{\n  \"a\" : [\n    1,\r\n\t\"b\",\n  {}\n],                    \n\n                                                       \"c\"   :                       {\"d\":0}}\n",
    ];
    let mut text = corpus[round % corpus.len()].as_bytes().to_vec();
    if rng.chance(1, 3) {
        let before = usize::try_from(rng.below(2 * BLOCK_BYTES as u64)).expect("small");
        text.splice(0..0, std::iter::repeat_n(b' ', before));
    }
    for _ in 0..rng.below(4) {
        let at = usize::try_from(rng.below(text.len() as u64)).expect("small");
        let byte = pick(rng, b"{}[]\",:\\0-e.u tn1x\n");
        match rng.below(3) {
            0 => text[at] = byte,
            1 => text.insert(at, byte),
            _ => drop(text.remove(at)),
        }
    }
    text
}

/// Mutated texts: what is taken here is taken by another parser, and the other way round.
#[test]
fn another_parser_gives_the_same_answers() {
    let mut rng = Rng::from_seed(20_261_122);
    let mut accepted = 0;
    for round in 0..100_000 {
        let text = mutated(&mut rng, round);
        let Ok(json) = std::str::from_utf8(&text) else { continue };
        let ours = read(json).1;
        // An ignored value is checked for its grammar alone, as it is here.
        let theirs = serde_json::from_str::<Grammar>(json);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{json}: {ours:?} {theirs:?}");
        // The plain parser says why, and so must be of the same mind.
        assert_eq!(grammar::check(&text, 1000).err(), ours.clone().err(), "{json}");
        accepted += usize::from(ours.is_ok());
    }
    assert!(accepted > 10_000, "only {accepted} were well-formed");
}

/// Any object, its values passed over.
#[derive(Debug)]
struct Grammar;

impl<'de> serde::Deserialize<'de> for Grammar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Grammar;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Grammar, A::Error> {
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
                Ok(Grammar)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
