//! The moments at which the node is killed.

use millstream_runtime::Rng;

/// A named moment in the life of an event, or in that of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Phase {
    name: &'static str,
    /// The kill comes after the moment was passed at most so often; zero: it comes from outside.
    passes_max: u64,
}

impl Phase {
    /// Every phase. A recovery phase needs what an earlier kill left behind.
    pub(crate) const ALL: [Self; 16] = [
        Self::new("journal.before_write", 100),
        Self::new("journal.before_sync", 100),
        Self::new("journal.after_sync", 100),
        Self::new("journal.recovery.scan", 1),
        Self::new("collector.before_answer", 500),
        Self::new("processor.before_transact", 20),
        Self::new("processor.after_transact", 20),
        Self::new("journal.recovery.seal", 1),
        Self::new("lake.after_data_file", 2),
        Self::new("lake.after_manifest", 2),
        Self::new("lake.after_metadata", 2),
        Self::new("lake.after_catalog", 2),
        Self::new("sink.before_register", 3),
        Self::new("sink.after_register", 3),
        Self::new("journal.roll", 2),
        Self::new("from outside", 0),
    ];

    const fn new(name: &'static str, passes_max: u64) -> Self {
        Self { name, passes_max }
    }

    /// Returns the phase of a kill; every phase comes in turn.
    pub(crate) fn of_kill(kill: u64) -> Self {
        Self::ALL[usize::try_from(kill).unwrap() % Self::ALL.len()]
    }

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// Tells whether the kill comes from outside the process.
    pub(crate) fn is_outside(self) -> bool {
        self.passes_max == 0
    }

    /// Returns what arms the crash point, at a seeded pass.
    pub(crate) fn crash_point(self, rng: &mut Rng) -> Option<String> {
        (!self.is_outside()).then(|| format!("{}:{}", self.name, 1 + rng.below(self.passes_max)))
    }

    /// Returns what arms the crash point at its next pass.
    pub(crate) fn next_crash_point(self) -> Option<String> {
        (!self.is_outside()).then(|| format!("{}:1", self.name))
    }
}
