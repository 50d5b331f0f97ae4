//! The list `steps` of a pipeline: each item is one key, the step's kind, and what it is told.

use millstream_pipeline::step::{cast, dedupe, default, remove, rename, require, timestamp};
use millstream_pipeline::{Path, StepConfig};
use serde_json::Value as Json;

use super::filters::filter;
use super::problem::did_you_mean;
use super::source::Located;
use super::value::Value;
use super::yaml::{Kind, Scalar};

/// Decodes the arguments of one kind of step.
type Decode = fn(&Value<'_>) -> Option<StepConfig>;

/// Every kind of step.
pub(crate) const KINDS: [(&str, Decode); 8] = [
    ("require", |value| Some(StepConfig::Require(require::Config { fields: field_list(value)? }))),
    ("default", |value| Some(StepConfig::Default(default::Config { fields: defaults(value)? }))),
    ("rename", |value| Some(StepConfig::Rename(rename::Config { fields: renames(value)? }))),
    ("remove", |value| Some(StepConfig::Remove(remove::Config { fields: field_list(value)? }))),
    ("cast", |value| Some(StepConfig::Cast(cast::Config { fields: casts(value)? }))),
    ("timestamp", |value| {
        Some(StepConfig::Timestamp(timestamp::Config { fields: field_list(value)? }))
    }),
    ("filter", |value| Some(StepConfig::Filter(filter(value)?))),
    ("dedupe", |value| Some(StepConfig::Dedupe(dedupe(value)?))),
];

/// Decodes the list.
pub(super) fn steps(value: &Value<'_>) -> Option<Vec<Located<StepConfig>>> {
    let items = value.items()?;
    Some(items.iter().filter_map(step).collect())
}

fn step(value: &Value<'_>) -> Option<Located<StepConfig>> {
    let named = match &value.node().kind {
        Kind::Mapping(_) => value.named()?,
        _ => return value.expected("a step, as in `require: [user_id]`"),
    };
    let [(kind, arguments)] = named.as_slice() else {
        let kinds: Vec<&str> = named.iter().map(|(kind, _)| kind.value.as_str()).collect();
        let message = format!("a step has one kind, this one has {}", kinds.join(" and "));
        value.problem_with_hint(message, "begin each step with a dash of its own");
        return None;
    };
    let known = KINDS.map(|(name, _)| name);
    let Some((_, decode)) = KINDS.iter().find(|(name, _)| *name == kind.value) else {
        let message = format!("unknown step `{}`", kind.value);
        let hint = did_you_mean(&kind.value, &known);
        value.problems().add_with_hint(kind.at, value.path(), message, hint);
        return None;
    };
    let config = decode(arguments)?;
    if let Err(error) = config.validate() {
        arguments.problem(error.to_string());
        return None;
    }
    Some(Located { value: config, at: kind.at, path: value.path().to_owned() })
}

/// Decodes a field's path, checked at its place.
pub(super) fn field(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    match Path::parse(&text.value) {
        Ok(_) => Some(text.value),
        Err(error) => {
            value.problem(error.to_string());
            None
        }
    }
}

/// Decodes a list of fields; one alone may stand without brackets.
fn field_list(value: &Value<'_>) -> Option<Vec<String>> {
    match &value.node().kind {
        Kind::Scalar(scalar) if !scalar.is_null() => Some(vec![single_field(value, scalar)?]),
        Kind::Sequence(_) => all(value.items()?.iter().map(field).collect()),
        _ => value.expected("a field or a list of fields, as in `[user_id, event]`"),
    }
}

/// Decodes a field that stands where a list may: `a, b` is a list that lacks its brackets, and
/// would be a field that no event has.
fn single_field(value: &Value<'_>, scalar: &Scalar) -> Option<String> {
    let is_list = |byte: char| byte == ',' || byte.is_whitespace();
    if scalar.is_plain && scalar.text.contains(is_list) {
        let parts = scalar.text.split(is_list).filter(|part| !part.is_empty());
        let list = parts.collect::<Vec<_>>().join(", ");
        let hint =
            format!("put a list in brackets, as in `[{list}]`, and one such field in quotes");
        value.problem_with_hint(format!("expected a field, found `{}`", scalar.text), hint);
        return None;
    }
    field(value)
}

/// Decodes a section whose keys are paths of fields.
fn by_field<T>(
    value: &Value<'_>,
    decode: impl Fn(&Value<'_>) -> Option<T>,
) -> Option<Vec<(String, T)>> {
    let pairs = value.named()?.into_iter().map(|(name, value)| {
        if let Err(error) = Path::parse(&name.value) {
            value.problems().add(name.at, value.path(), error.to_string());
            return None;
        }
        Some((name.value, decode(&value)?))
    });
    all(pairs.collect())
}

fn renames(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    by_field(value, field)
}

fn defaults(value: &Value<'_>) -> Option<Vec<(String, Json)>> {
    by_field(value, json)
}

fn casts(value: &Value<'_>) -> Option<Vec<(String, cast::Type)>> {
    by_field(value, |value| value.one_of(&cast::Type::ALL.map(|it| (it.as_str(), it))))
}

/// Decodes what makes events the same; every key has a default.
fn dedupe(value: &Value<'_>) -> Option<dedupe::Config> {
    let mut fields = value.fields()?;
    let default = dedupe::Config::default();
    let by = match fields.take("by") {
        Some(value) => value.one_of(&dedupe::By::ALL.map(|it| (it.as_str(), it))),
        None => Some(default.by),
    };
    let within = match fields.take("within") {
        Some(value) => value.duration(),
        None => Some(default.within),
    };
    let keys_max = match fields.take("keys_max") {
        Some(value) => value.integer(),
        None => Some(default.keys_max),
    };
    fields.finish();
    Some(dedupe::Config { by: by?, within: within?, keys_max: keys_max? })
}

/// Returns all items, or nothing when one of them has reported a problem.
fn all<T>(items: Vec<Option<T>>) -> Option<Vec<T>> {
    items.into_iter().collect()
}

/// Decodes a JSON value: what is written without quotes may be a number, a boolean or null.
pub(super) fn json(value: &Value<'_>) -> Option<Json> {
    match &value.node().kind {
        Kind::Scalar(scalar) => Some(scalar_json(scalar)),
        Kind::Sequence(_) => {
            let items = value.items()?.iter().map(json).collect();
            all(items).map(Json::Array)
        }
        Kind::Mapping(_) => {
            let fields = value.named()?.into_iter();
            let fields = fields.map(|(name, value)| Some((name.value, json(&value)?)));
            all(fields.collect()).map(|fields| Json::Object(fields.into_iter().collect()))
        }
    }
}

fn scalar_json(scalar: &Scalar) -> Json {
    let text = scalar.text.as_str();
    if !scalar.is_plain {
        return Json::from(text);
    }
    match text {
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        _ if scalar.is_null() => Json::Null,
        _ => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => Json::Number(number),
            Err(_) => Json::from(text),
        },
    }
}
