//! One directory: the names in use and the names that survive a power cut.

use std::collections::BTreeMap;

use super::{InodeNumber, Survival};
use crate::Rng;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// A file.
    File(InodeNumber),
    /// A directory, found by its path.
    Dir,
}

/// A change of names that may or may not reach the medium, on its own.
#[derive(Debug, Clone, Hash)]
enum Change {
    Insert {
        name: String,
        node: Node,
    },
    Remove {
        name: String,
    },
    /// Atomic: the medium shows the file under one name, never under none.
    Rename {
        from: String,
        to: String,
        node: Node,
    },
}

/// One directory.
#[derive(Debug, Clone, Default, Hash)]
pub(super) struct Directory {
    kept: BTreeMap<String, Node>,
    used: BTreeMap<String, Node>,
    /// What leads from the kept names to the used ones.
    changes: Vec<Change>,
}

impl Directory {
    pub(super) fn get(&self, name: &str) -> Option<Node> {
        self.used.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, Node)> {
        self.used.iter().map(|(name, node)| (name, *node))
    }

    pub(super) fn insert(&mut self, name: &str, node: Node) {
        self.change(Change::Insert { name: name.to_owned(), node });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.change(Change::Remove { name: name.to_owned() });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, node: Node) {
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), node });
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.used, &change);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.changes.clear();
        self.kept.clone_from(&self.used);
    }

    /// Returns the directory as the next start finds it.
    pub(super) fn reboot(&self, survival: Survival, rng: &mut Rng) -> Self {
        let mut names = self.kept.clone();
        match survival {
            Survival::Killed => return self.clone(),
            Survival::Synced => {}
            Survival::Written => names.clone_from(&self.used),
            Survival::Mixture(_) => {
                for change in &self.changes {
                    if rng.chance(1, 2) {
                        apply(&mut names, change);
                    }
                }
            }
        }
        Self { kept: names.clone(), used: names, changes: Vec::new() }
    }
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    match change {
        Change::Insert { name, node } => {
            names.insert(name.clone(), *node);
        }
        Change::Remove { name } => {
            names.remove(name);
        }
        Change::Rename { from, to, node } => {
            // Another file may bear the old name when what came before was lost.
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
    }
}
