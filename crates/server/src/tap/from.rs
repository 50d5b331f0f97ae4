//! Where a tap begins: at an end of the topic, at an offset, or at a time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use millstream_log::{Log, ReaderError};
use millstream_model::{Offset, Timestamp, TopicPartition};
use millstream_runtime::Context;

use crate::config::{format_duration, parse_duration};
use crate::reading::offset_since;

/// Where a tap begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum From {
    /// With the first readable record.
    Beginning,
    /// With the next record that comes.
    #[default]
    End,
    /// At this offset of every partition, or as near to it as there is something to read.
    Offset(Offset),
    /// With what was accepted in the last while.
    Ago(Duration),
    /// With what was accepted at this time or later.
    Time(Timestamp),
}

impl From {
    /// Returns the time before which nothing is shown; `None` for a place.
    pub(super) fn since(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Beginning | Self::End | Self::Offset(_) => None,
            Self::Time(since) => Some(since),
            Self::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Some(Timestamp::from_millis(now.as_millis().saturating_sub(ago)))
            }
        }
    }

    /// Returns where to begin in one partition.
    pub(super) async fn locate(
        self,
        cx: &Context,
        log: &dyn Log,
        partition: &TopicPartition,
        now: Timestamp,
    ) -> Result<Offset, ReaderError> {
        if let Some(since) = self.since(now) {
            return offset_since(cx, log, partition, since).await;
        }
        let bounds = log.bounds(cx, partition).await?;
        Ok(match self {
            Self::Offset(offset) => offset.clamp(bounds.start.offset, bounds.end.offset),
            Self::Beginning => bounds.start.offset,
            _ => bounds.end.offset,
        })
    }
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => return Ok(Self::Beginning),
            "end" => return Ok(Self::End),
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(Offset(offset)));
        }
        if let Some(ago) = parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self::Time(Timestamp::from_millis(time.timestamp_millis()))),
            Err(_none_of_all) => {
                Err("write `beginning`, `end`, an offset as in `41`, how long ago \
                                      as in `5m`, or a time as in `2026-11-23T10:00:00Z`"
                    .to_owned())
            }
        }
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("beginning"),
            Self::End => f.write_str("end"),
            Self::Offset(offset) => write!(f, "{offset}"),
            Self::Ago(ago) => f.write_str(&format_duration(*ago)),
            Self::Time(time) => {
                let time = DateTime::from_timestamp_millis(time.as_millis()).unwrap_or_default();
                f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
            }
        }
    }
}
