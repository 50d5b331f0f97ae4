//! `${NAME}` and `${NAME:-default}` in scalars.
//!
//! Done after parsing and in scalars only, so that a value can never add a key, a list or a
//! section: what comes from the environment stays one value. `$$` stands for one `$`.

use super::problem::Problems;
use super::source::Span;
use super::yaml::{Kind, Node, Scalar};

/// Looks a variable up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces every variable in every scalar below `node`.
pub(crate) fn interpolate(node: &mut Node, lookup: Lookup<'_>, problems: &Problems) {
    match &mut node.kind {
        Kind::Scalar(scalar) if scalar.text.contains('$') => {
            match expand(&scalar.text, node.at, lookup, problems) {
                Some(text) => scalar.text = text,
                // As if nothing stood there: what is wrong is said already.
                None => *scalar = Scalar { text: String::new(), is_plain: true },
            }
        }
        Kind::Scalar(_) => {}
        Kind::Sequence(items) => {
            for item in items {
                interpolate(item, lookup, problems);
            }
        }
        Kind::Mapping(entries) => {
            for entry in entries {
                interpolate(&mut entry.value, lookup, problems);
            }
        }
    }
}

fn expand(text: &str, at: Span, lookup: Lookup<'_>, problems: &Problems) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                let hint = "write `${NAME}` or `${NAME:-default}`; `$$` stands for one `$`";
                problems.add_with_hint(at, "", "`${` has no closing `}`", hint);
                return None;
            };
            out.push_str(&variable(inside, at, lookup, problems)?);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Some(out)
}

fn variable(inside: &str, at: Span, lookup: Lookup<'_>, problems: &Problems) -> Option<String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        let message = format!("`{name}` is not the name of an environment variable");
        problems.add_with_hint(at, "", message, "use letters, digits and `_`");
        return None;
    }
    let value = lookup(name).filter(|value| default.is_none() || !value.is_empty());
    match (value, default) {
        (Some(value), _) => Some(value),
        (None, Some(default)) => Some(default.to_owned()),
        (None, None) => {
            let message = format!("environment variable `{name}` is not set");
            let hint = format!("set it, or give a default as in `${{{name}:-value}}`");
            problems.add_with_hint(at, "", message, hint);
            None
        }
    }
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit())
}
