//! The standard cleaning rules, for the contestant and for the check of its output.
//!
//! The check is written apart from the product, on a tree of `serde_json` and with `chrono`: slow
//! and obvious. It says what an event must become, or that it must be rejected.

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use millstream_pipeline::StepConfig;
use millstream_pipeline::cleaner::{Cleaner, Settings};
use millstream_pipeline::event::Limits;
use millstream_pipeline::step::{default, remove, rename, require, timestamp};
use serde_json::{Value, json};

/// Returns the five rules as steps.
pub(crate) fn steps() -> Vec<StepConfig> {
    let fields = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let channel = ("properties.channel".to_owned(), json!("unknown"));
    let version = ("context.app_version".to_owned(), "app_version".to_owned());
    vec![
        StepConfig::Require(require::Config { fields: fields(&["user_id", "event"]) }),
        StepConfig::Default(default::Config { fields: vec![channel] }),
        StepConfig::Timestamp(timestamp::Config { fields: fields(&["timestamp"]) }),
        StepConfig::Remove(remove::Config { fields: fields(&["bad_field"]) }),
        StepConfig::Rename(rename::Config { fields: vec![version] }),
    ]
}

/// Builds the cleaner, without a schema: the five rules alone are compared.
pub(crate) fn cleaner(partitions: u32) -> Result<Cleaner> {
    let settings = Settings {
        pipeline: "bench".to_owned(),
        steps: steps(),
        schema: None,
        limits: Limits::default(),
        input_partitions: partitions,
        output_partitions: partitions,
    };
    Ok(Cleaner::new(&settings)?)
}

/// Returns what an event must become; `None` when it must be rejected.
pub(crate) fn expected(event: &[u8]) -> Result<Option<Value>> {
    let mut event: Value = serde_json::from_slice(event)?;
    let root = event.as_object_mut().context("an event is an object")?;
    if !["user_id", "event"]
        .iter()
        .all(|name| root.get(*name).is_some_and(|value| !value.is_null()))
    {
        return Ok(None);
    }
    root.remove("bad_field");
    let time = root.get("timestamp").context("our events have a time")?;
    let time = iso_of(time).with_context(|| format!("a form of time of ours: {time}"))?;
    root.insert("timestamp".to_owned(), json!(time));
    if let Some(version) = root["context"].as_object_mut().and_then(|cx| cx.remove("app_version")) {
        root.insert("app_version".to_owned(), version);
    }
    let properties = root["properties"].as_object_mut().context("our events have properties")?;
    if properties.get("channel").is_none_or(Value::is_null) {
        properties.insert("channel".to_owned(), json!("unknown"));
    }
    Ok(Some(event))
}

fn iso_of(time: &Value) -> Option<String> {
    let time: DateTime<Utc> = match time {
        Value::Number(millis) => DateTime::from_timestamp_millis(millis.as_i64()?)?,
        Value::String(text) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => time.to_utc(),
            Err(_other_form) => {
                NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?.and_utc()
            }
        },
        _ => return None,
    };
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
