//! The five rules as somebody writes them who has a JSON library and an afternoon: iterate lazily
//! over the members of the event, copy each to the output, and treat the named ones apart.

use anyhow::{Context, Result};
use millstream_pipeline::datetime::forms;
use sonic_rs::{JsonValueTrait, LazyValue, to_object_iter};

/// Cleans one event into `out`; returns false when it is rejected.
pub(super) fn clean(event: &[u8], out: &mut Vec<u8>) -> Result<bool> {
    out.clear();
    out.push(b'{');
    let (mut has_user, mut has_event) = (false, false);
    for member in to_object_iter(event) {
        let (name, value) = member?;
        match &*name {
            "bad_field" => continue,
            "user_id" => has_user = !value.is_null(),
            "event" => has_event = !value.is_null(),
            "timestamp" => {
                write_name(out, "timestamp");
                write_time(out, &value)?;
                continue;
            }
            "properties" => {
                write_name(out, "properties");
                write_properties(out, &value)?;
                continue;
            }
            "context" => {
                write_context(out, &value)?;
                continue;
            }
            _ => {}
        }
        write_member(out, &name, &value);
    }
    out.push(b'}');
    Ok(has_user && has_event)
}

fn write_time(out: &mut Vec<u8>, value: &LazyValue<'_>) -> Result<()> {
    let moment = match value.as_str() {
        Some(text) => forms::parse_text(text),
        None => forms::parse_number(value.as_raw_str()),
    };
    out.push(b'"');
    out.extend_from_slice(&moment.context("a time that is none")?.to_iso8601());
    out.push(b'"');
    Ok(())
}

fn write_properties(out: &mut Vec<u8>, properties: &LazyValue<'_>) -> Result<()> {
    out.push(b'{');
    let mut has_channel = false;
    for member in to_object_iter(properties.as_raw_str()) {
        let (name, value) = member?;
        if name == "channel" {
            if value.is_null() {
                continue;
            }
            has_channel = true;
        }
        write_member(out, &name, &value);
    }
    if !has_channel {
        write_name(out, "channel");
        out.extend_from_slice(b"\"unknown\"");
    }
    out.push(b'}');
    Ok(())
}

/// Writes the context without its version, and the version beside it.
fn write_context(out: &mut Vec<u8>, context: &LazyValue<'_>) -> Result<()> {
    write_name(out, "context");
    out.push(b'{');
    let mut version = None;
    for member in to_object_iter(context.as_raw_str()) {
        let (name, value) = member?;
        if name == "app_version" {
            version = Some(value);
        } else {
            write_member(out, &name, &value);
        }
    }
    out.push(b'}');
    if let Some(version) = version {
        write_member(out, "app_version", &version);
    }
    Ok(())
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &LazyValue<'_>) {
    write_name(out, name);
    out.extend_from_slice(value.as_raw_str().as_bytes());
}

/// Writes the name of a member, after a comma unless it is the first. Our names need no escape.
fn write_name(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
