//! Writes what is asked of a tap as the path and query of a request.

use std::fmt::Write as _;

use crate::tap::Ask;

/// Returns path and query.
pub(super) fn path(ask: &Ask) -> String {
    let Ask { topic, partition, from, filter, limit, follow } = ask;
    let fields = [
        ("topic", Some(topic.clone())),
        ("partition", partition.map(|number| number.to_string())),
        ("from", from.clone()),
        ("filter", filter.clone()),
        ("limit", limit.map(|number| number.to_string())),
        ("follow", follow.map(|follow| follow.to_string())),
    ];
    let given = fields.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let fields: Vec<String> =
        given.map(|(name, value)| format!("{name}={}", escape(value))).collect();
    format!("/api/v1/tap?{}", fields.join("&"))
}

/// Escapes everything but letters, digits and what is never special in a query.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    out
}
