//! The arguments of the step `filter`: a mode, and a condition of tests.

use millstream_pipeline::step::filter::{
    CONDITION_DEPTH_MAX, Condition, Config, Mode, Presence, Test,
};

use super::problem::did_you_mean;
use super::source::Located;
use super::steps::{field, json};
use super::value::Value;

/// The words for the mode.
const MODES: [(&str, Mode); 2] = [("keep_if", Mode::KeepIf), ("drop_if", Mode::DropIf)];

/// Decodes a test of one field.
type DecodeTest = fn(&Value<'_>) -> Option<Test>;

/// Every test.
const TESTS: [(&str, DecodeTest); 8] = [
    ("exists", |value| {
        let presence = if value.boolean()? { Presence::Present } else { Presence::Missing };
        Some(Test::Exists(presence))
    }),
    ("equals", |value| json(value).map(Test::Equals)),
    ("in", |value| {
        let items: Option<Vec<_>> = value.items()?.iter().map(json).collect();
        items.map(Test::In)
    }),
    ("starts_with", |value| value.text().map(|text| Test::StartsWith(text.value))),
    ("ends_with", |value| value.text().map(|text| Test::EndsWith(text.value))),
    ("contains", |value| value.text().map(|text| Test::Contains(text.value))),
    ("less_than", |value| value.number().map(Test::LessThan)),
    ("at_least", |value| value.number().map(Test::AtLeast)),
];

/// Decodes `keep_if: <condition>` or `drop_if: <condition>`.
pub(super) fn filter(value: &Value<'_>) -> Option<Config> {
    let named = value.named()?;
    let [(word, argument)] = named.as_slice() else {
        return value.expected("one of `keep_if: …` and `drop_if: …`");
    };
    let mode = find(word, &MODES, value)?;
    Some(Config { mode, condition: condition(argument, 1)? })
}

fn condition(value: &Value<'_>, depth: usize) -> Option<Condition> {
    if depth > CONDITION_DEPTH_MAX {
        value.problem(format!("conditions nest deeper than {CONDITION_DEPTH_MAX} levels"));
        return None;
    }
    let named = value.named()?;
    let get = |word: &str| named.iter().find(|(name, _)| name.value == word).map(|(_, it)| it);
    if let Some(path) = get("field") {
        return field_test(value, path, &named);
    }
    let [(word, argument)] = named.as_slice() else {
        return value.expected("`field: …` with one test, or one of `all`, `any`, `not`");
    };
    let several = |value: &Value<'_>| -> Option<Vec<Condition>> {
        value.items()?.iter().map(|item| condition(item, depth + 1)).collect()
    };
    match word.value.as_str() {
        "all" => several(argument).map(Condition::All),
        "any" => several(argument).map(Condition::Any),
        "not" => Some(Condition::Not(Box::new(condition(argument, depth + 1)?))),
        other => {
            let message = format!("unknown condition `{other}`");
            let hint = did_you_mean(other, &["field", "all", "any", "not"]);
            value.problems().add_with_hint(word.at, value.path(), message, hint);
            None
        }
    }
}

fn field_test(
    value: &Value<'_>,
    path: &Value<'_>,
    named: &[(Located<String>, Value<'_>)],
) -> Option<Condition> {
    let tests: Vec<_> = named.iter().filter(|(name, _)| name.value != "field").collect();
    let [(word, argument)] = tests.as_slice() else {
        let known = TESTS.map(|(name, _)| name).join(", ");
        return value.expected(&format!("`field` and one test of {known}"));
    };
    let decode = find(word, &TESTS, value)?;
    let field = field(path);
    let test = decode(argument);
    Some(Condition::Field { field: field?, test: test? })
}

fn find<T: Copy>(word: &Located<String>, known: &[(&str, T)], value: &Value<'_>) -> Option<T> {
    let found = known.iter().find(|(name, _)| *name == word.value);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let message = format!("unknown word `{}`", word.value);
        let hint = did_you_mean(&word.value, &names);
        value.problems().add_with_hint(word.at, value.path(), message, hint);
    }
    found.map(|(_, known)| *known)
}
