use millstream_runtime::Rng;

use super::blocks::BLOCK_BYTES;
use super::*;

fn read(json: &str) -> (Tokens, Result<(), Malformed>) {
    let mut tokens = Tokens::default();
    let read = tokens.read(json.as_bytes(), Limits::default()).map(|_text| ());
    (tokens, read)
}

fn entries(json: &str) -> Vec<(&str, &str)> {
    let (tokens, read) = read(json);
    read.expect("well-formed");
    tokens.fields(json.as_bytes(), 0).map(|entry| (&json[entry.key], &json[entry.value])).collect()
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

/// Texts of bytes that matter, whatever they mean, through each form of the first pass.
#[test]
#[cfg(target_arch = "x86_64")]
fn every_form_of_the_first_pass_finds_the_same_tokens() {
    let mut rng = Rng::from_seed(5);
    let interesting = b"\"\\{}[],: \t\n\r\x00\x1f\x20a\x7f\x80\xff\x0b\x5d\x1a\x0c\x2cun0";
    let mut found = 0;
    for round in 0..20_000_usize {
        let is_calm = round % 2 == 0;
        let mut text = Vec::new();
        for _ in 0..rng.below(300) {
            let pick = usize::try_from(rng.below(interesting.len() as u64)).expect("small");
            let other = if is_calm { b'a' } else { rng.next_u64().to_le_bytes()[0] };
            text.push(if rng.chance(1, 4) { interesting[pick] } else { other });
        }
        let run = |read: fn(&[u8], &mut Places) -> Result<(), Malformed>| {
            let mut places = Places::default();
            let result = read(&text, &mut places);
            result.map(|()| places.as_slice().to_vec())
        };
        let expected = run(portable::read);
        assert_eq!(run(x86::read), expected, "{text:?}");
        assert_eq!(run(blocks::read::<x86::Sse2>), expected, "{text:?}");
        found += usize::from(expected.is_ok_and(|places| !places.is_empty()));
    }
    assert!(found > 1000, "only {found} texts had tokens");
}

/// Mutated texts: what is taken here is taken by another parser, and the other way round.
#[test]
fn another_parser_gives_the_same_answers() {
    let corpus = [
        r#"{"a":[1,2.5e-3,{"b":[]}],"k\"\\":"\n","é":"😀","t":true,"f":false,"n":null,"z":-0}"#,
        r#" { "a" : { "b" : [ [ ] , { } , "x\u0041" ] } , "c" : "\\\\" } "#,
        r#"{"long":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"","x":1}"#,
    ];
    let mut rng = Rng::from_seed(20_261_122);
    let mut accepted = 0;
    for round in 0..60_000_usize {
        let mut text = corpus[round % corpus.len()].as_bytes().to_vec();
        for _ in 0..rng.below(4) {
            let at = usize::try_from(rng.below(text.len() as u64)).expect("small");
            let byte = b"{}[]\",:\\0-e.u tn1x\n"[usize::try_from(rng.below(19)).expect("small")];
            match rng.below(3) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        let Ok(json) = std::str::from_utf8(&text) else { continue };
        let ours = read(json).1;
        // An ignored value is checked for its grammar alone, as it is here.
        let theirs = serde_json::from_str::<Grammar>(json);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{json}: {ours:?} {theirs:?}");
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
