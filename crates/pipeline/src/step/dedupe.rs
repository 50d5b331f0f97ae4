//! `dedupe`: drops events that were seen before, within a time.
//!
//! ```yaml
//! - dedupe: { by: message_id, within: 1 h, keys_max: 1000000 }
//! ```
//!
//! An event's id is its field `message_id`, or the key of its record. The first event with an id
//! goes on; later ones are duplicates until `within` has passed since, in the stream's time: the
//! latest accept time seen, never beyond our clock. So the verdicts depend on the records and
//! their order alone, however they are cut into batches and however often one is tried.
//!
//! The window is the partition's: where one collector hands its events on late, the others move the
//! time on meanwhile. So `within` must be longer than any collector may be behind; an event that
//! was accepted more than `within` before that time is let through unless its id is still known,
//! and counted.
//!
//! An event without an id goes on. One that comes back from the dead letters is judged by where
//! it first came from, not by an id under which it was seen already. When more than `keys_max`
//! ids are to be remembered, the oldest are forgotten before their time, and counted.

use std::borrow::Cow;
use std::time::Duration;

use millstream_model::{Timestamp, header};
use millstream_state::{Entry, FamilyId, Key};

use super::{Step, StepContext, StepError, Verdict};
use crate::event::{Event, Kind, Path};
use crate::keyed_state::KeyedState;

/// The longest id, in bytes; an event with a longer one is rejected. Bounds the memory.
pub const ID_BYTES_MAX: usize = 512;

/// The longest window.
pub const WITHIN_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// The most ids that may be remembered.
pub const KEYS_MAX: u64 = 100_000_000;

/// Ids that are forgotten after a batch at most, beyond two for each event of it.
const FORGOTTEN_MIN: u64 = 16;

/// The ids that were seen: no value, due when they are forgotten.
const SEEN: FamilyId = FamilyId(1);

/// Which events are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What makes two events the same.
    pub by: By,
    /// For how long after the first event later ones are dropped.
    pub within: Duration,
    /// The most ids that each task remembers; each takes its length and about 200 bytes of memory.
    pub keys_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { by: By::MessageId, within: Duration::from_secs(3600), keys_max: 1_000_000 }
    }
}

/// What makes two events the same; both decide the partition too, so that the second comes to
/// the task that saw the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The field `message_id`.
    MessageId,
    /// The key of the record.
    Key,
}

impl By {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::MessageId, Self::Key];

    /// Returns the name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageId => "message_id",
            Self::Key => "key",
        }
    }
}

/// What an id is; stored, so a number never changes its meaning.
#[derive(Debug, Clone, Copy)]
enum IdKind {
    /// A `message_id` that is a string.
    Text = 0,
    /// The key of the record.
    Key = 1,
    /// Where a dead letter came from.
    Origin = 2,
    /// A `message_id` that is a number or a boolean.
    Plain = 3,
}

/// The compiled step.
#[derive(Debug)]
pub struct Dedupe {
    by: By,
    within_millis: i64,
    keys_max: u64,
    message_id: Path,
}

impl Dedupe {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        let Config { by, within, keys_max } = *config;
        let refused = |key, range| Err(StepError::Range { key, range });
        if !(Duration::from_secs(1)..=WITHIN_MAX).contains(&within) {
            return refused("within", "1 s to 31 d");
        }
        if !(1..=KEYS_MAX).contains(&keys_max) {
            return refused("keys_max", "1 to 100000000");
        }
        let within_millis = i64::try_from(within.as_millis()).expect("checked: at most 31 days");
        Ok(Self { by, within_millis, keys_max, message_id: Path::parse("message_id")? })
    }

    /// Returns the key under which the event is remembered; `None` when it has no id.
    fn id_of(&self, event: &mut Event<'_>, cx: &StepContext<'_>) -> Result<Option<Key>, Verdict> {
        if let Some(origin) = cx.headers.get(header::ORIGIN) {
            return Ok(Some(id(IdKind::Origin, origin)));
        }
        match self.by {
            By::Key => match cx.key.filter(|key| !key.is_empty()) {
                Some(key) if key.len() > ID_BYTES_MAX => {
                    let reason = format!("the key is longer than {ID_BYTES_MAX} bytes");
                    Err(Verdict::Rejected { field: None, reason: reason.into() })
                }
                key => Ok(key.map(|key| id(IdKind::Key, key))),
            },
            By::MessageId => self.message_id_of(event),
        }
    }

    fn message_id_of(&self, event: &mut Event<'_>) -> Result<Option<Key>, Verdict> {
        let path = &self.message_id;
        let value = event.get(path).map_err(|error| Verdict::malformed(path, &error))?;
        let Some(value) = value else { return Ok(None) };
        let (kind, text) = match value.kind() {
            Kind::String => match value.as_str() {
                Some(Ok(text)) => (IdKind::Text, text),
                Some(Err(error)) => return Err(Verdict::rejected(path, error.to_string())),
                None => return Ok(None),
            },
            Kind::Number | Kind::Boolean => (IdKind::Plain, Cow::Borrowed(value.text())),
            Kind::Null | Kind::Array | Kind::Object => return Ok(None),
        };
        if text.len() > ID_BYTES_MAX {
            let reason = format!("is longer than {ID_BYTES_MAX} bytes");
            return Err(Verdict::rejected(path, reason));
        }
        Ok((!text.is_empty()).then(|| id(kind, text.as_bytes())))
    }
}

impl Step for Dedupe {
    fn apply(&self, event: &mut Event<'_>, cx: &mut StepContext<'_>) -> Verdict {
        let id = match self.id_of(event, cx) {
            Ok(id) => id,
            Err(verdict) => return verdict,
        };
        let accepted = cx.accepted;
        let state = cx.state.as_deref_mut().expect("a cleaner with this step has state");
        let now = state.observe(accepted);
        let Some(id) = id else { return Verdict::Keep };
        let seen = state.get(SEEN, &id);
        if is_remembered(seen.as_ref(), now) {
            return Verdict::Duplicate;
        }
        let is_replayed = cx.headers.get(header::ORIGIN).is_some();
        if !is_replayed && now.as_millis().saturating_sub(accepted.as_millis()) > self.within_millis
        {
            state.count_late();
        }
        if seen.is_none() {
            state.books_mut().ids += 1;
        }
        let due = now.as_millis().saturating_add(self.within_millis);
        state.put(SEEN, id, Entry::due_at(&[], Timestamp::from_millis(due)));
        Verdict::Keep
    }

    fn settle(&self, state: &mut KeyedState, events: u64) {
        // At least as many as a batch can add: memory goes back below its bound at once.
        let count_max = events.saturating_mul(2).saturating_add(FORGOTTEN_MIN);
        let count_max = usize::try_from(count_max).unwrap_or(usize::MAX);
        let mut books = *state.books_mut();
        let forgotten = state.earliest(SEEN, count_max, |due| {
            let is_early = due > books.time;
            if is_early && books.ids <= self.keys_max {
                return false;
            }
            books.ids = books.ids.saturating_sub(1);
            books.evicted_early += u64::from(is_early);
            true
        });
        *state.books_mut() = books;
        for id in forgotten {
            state.delete(SEEN, id);
        }
    }
}

/// Returns whether what is remembered still counts: forgetting may come later than it is due.
fn is_remembered(seen: Option<&Entry>, now: Timestamp) -> bool {
    seen.and_then(|entry| entry.due).is_some_and(|due| due > now)
}

fn id(kind: IdKind, bytes: &[u8]) -> Key {
    let mut id = Vec::with_capacity(1 + bytes.len());
    id.push(kind as u8);
    id.extend_from_slice(bytes);
    Key::from(id)
}

#[cfg(test)]
mod tests;
