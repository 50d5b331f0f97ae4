use super::*;

fn entries(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    fields(text, |entry| {
        found.push((text[entry.key].to_owned(), text[entry.value].to_owned()));
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn keys_and_values_stand_where_they_are_said_to() {
    let found = entries(" {\"a\" : 1 ,\n\"b\\\"c\":\"x\", \"\":{\"d\":[ ]}, \"e\":\"}\" } ");
    let expected =
        [("\"a\"", "1"), ("\"b\\\"c\"", "\"x\""), ("\"\"", "{\"d\":[ ]}"), ("\"e\"", "\"}\"")];
    let expected: Vec<_> =
        expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    assert_eq!(found, expected);
    assert!(entries("{ }").is_empty());
}
