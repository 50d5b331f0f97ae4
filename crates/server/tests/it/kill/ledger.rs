//! What the clients know about every event they posted.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// What must become of an event once it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// A row in the table.
    Row,
    /// A dead letter: the cleaning steps reject it.
    DeadLetter,
    /// Nothing: the collector itself rejects it.
    Nowhere,
}

/// What the client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// A 200 that accepts it: it must be there exactly once.
    Acknowledged,
    /// No answer, or a 503: it may be there at most once.
    Unknown,
    /// A 200 or 400 that rejects it: it must not be there.
    Rejected,
}

/// An event's id, which its `message_id` carries, and what is known of it.
pub(crate) type Entry = (String, Fate, Answer);

/// Everything all clients posted; shared between them.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<String, (Fate, Answer)>>);

impl Ledger {
    /// Enters the events of one request.
    pub(crate) fn enter(&self, entries: Vec<Entry>) {
        let mut ledger = self.0.lock().unwrap();
        for (id, fate, answer) in entries {
            let before = ledger.insert(id.clone(), (fate, answer));
            assert!(before.is_none(), "{id} was posted twice by the test itself");
        }
    }

    /// Returns how many events have this fate and answer.
    pub(crate) fn count(&self, fate: Fate, answer: Answer) -> usize {
        self.0.lock().unwrap().values().filter(|known| **known == (fate, answer)).count()
    }

    /// Returns what is known of an event; nothing when it was never posted.
    pub(crate) fn get(&self, id: &str) -> Option<(Fate, Answer)> {
        self.0.lock().unwrap().get(id).copied()
    }

    /// Compares the ids found at `place` with what must and may be there; returns the faults.
    pub(crate) fn check(&self, place: Fate, found: &[String]) -> Vec<String> {
        let ledger = self.0.lock().unwrap();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for id in found {
            *times.entry(id).or_default() += 1;
        }
        let mut faults = Vec::new();
        for (id, (fate, answer)) in &*ledger {
            let found = times.remove(id.as_str()).unwrap_or(0);
            let expected = match answer {
                _ if *fate != place => 0..=0,
                Answer::Acknowledged => 1..=1,
                Answer::Unknown => 0..=1,
                Answer::Rejected => 0..=0,
            };
            if !expected.contains(&found) {
                faults.push(format!("{id} ({fate:?}, {answer:?}) is {found} times in {place:?}"));
            }
        }
        faults.extend(times.keys().map(|id| format!("{id} was never posted, found in {place:?}")));
        faults
    }
}
