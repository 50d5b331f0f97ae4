//! Dead letters: rejected records, unchanged, with where they came from and what was wrong.

use std::fmt;

use millstream_model::{
    Headers, HeadersBuilder, Offset, Record, RecordBatchBuilder, TopicName, TopicPartition, header,
};
use thiserror::Error;

/// The longest reason and the longest field name, in bytes; more is cut at a character.
pub const REASON_BYTES_MAX: usize = 1024;

/// What stands beside a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the record was read.
    pub origin: Origin,
    /// The pipeline that rejected it.
    pub pipeline: String,
    /// The step that rejected it, as `<index>:<kind>`.
    pub step: String,
    /// The field at fault; `None` when the record as a whole is.
    pub field: Option<String>,
    /// What is wrong, for people.
    pub reason: String,
}

/// Where a record was read: `<topic>/<partition>/<offset>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset.
    pub offset: Offset,
}

/// Headers that are not those of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeadLetterError {
    /// A header is missing or not UTF-8.
    #[error("header `{0}` is missing or not UTF-8")]
    Header(&'static str),
    /// The origin is not `<topic>/<partition>/<offset>`.
    #[error("`{0}` is not an origin")]
    Origin(String),
}

impl DeadLetter {
    /// Adds `record` to `batch` as a dead letter: key, time, value and headers unchanged, ours
    /// added. Headers of an earlier rejection are replaced.
    pub fn push(&self, record: Record<'_>, batch: &mut RecordBatchBuilder) {
        let mut headers = HeadersBuilder::new();
        copy_foreign(record.headers, &mut headers);
        headers.push(header::ORIGIN, self.origin.to_string().as_bytes());
        headers.push(header::PIPELINE, self.pipeline.as_bytes());
        headers.push(header::STEP, self.step.as_bytes());
        if let Some(field) = &self.field {
            headers.push(header::FIELD, cut(field).as_bytes());
        }
        headers.push(header::REASON, cut(&self.reason).as_bytes());
        batch.push(Record { headers: headers.as_headers(), ..record });
    }

    /// Reads what stands beside a dead letter.
    pub fn parse(headers: Headers<'_>) -> Result<Self, DeadLetterError> {
        let text = |name: &'static str| {
            let value = headers.get(name).and_then(|value| std::str::from_utf8(value).ok());
            value.map(str::to_owned).ok_or(DeadLetterError::Header(name))
        };
        Ok(Self {
            origin: Origin::parse(&text(header::ORIGIN)?)?,
            pipeline: text(header::PIPELINE)?,
            step: text(header::STEP)?,
            field: headers.get(header::FIELD).map(|_| text(header::FIELD)).transpose()?,
            reason: text(header::REASON)?,
        })
    }
}

impl Origin {
    /// Reads `<topic>/<partition>/<offset>`.
    pub fn parse(text: &str) -> Result<Self, DeadLetterError> {
        let parts = || {
            let mut parts = text.split('/');
            let topic = TopicName::new(parts.next()?).ok()?;
            let partition = parts.next()?.parse().ok()?;
            let offset = parts.next()?.parse().ok()?;
            let end = parts.next().is_none();
            end.then(|| Self {
                partition: TopicPartition::new(topic, partition),
                offset: Offset(offset),
            })
        };
        parts().ok_or_else(|| DeadLetterError::Origin(text.chars().take(300).collect()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TopicPartition { topic, partition } = &self.partition;
        write!(f, "{topic}/{partition}/{}", self.offset)
    }
}

const OURS: [&str; 5] =
    [header::ORIGIN, header::PIPELINE, header::STEP, header::FIELD, header::REASON];

fn copy_foreign(from: Headers<'_>, to: &mut HeadersBuilder) {
    for (name, value) in from.iter() {
        if !OURS.contains(&name) {
            to.push(name, value);
        }
    }
}

/// Cuts text that an event may have made long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests;
