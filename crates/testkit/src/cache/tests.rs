//! Who finds an entry finds it whole, and it is built once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::ensure;

use super::*;

fn verify(directory: &Path) -> Result<()> {
    ensure!(fs::read_to_string(directory.join("a"))? == "whole", "not whole");
    Ok(())
}

/// Asks for an entry that is whole, and returns how often it was built.
fn builds(root: &Path, fingerprint: &str, askers: usize) -> u32 {
    let count = AtomicU32::new(0);
    let build = |directory: &Path| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(fs::write(directory.join("a"), "whole")?)
    };
    thread::scope(|scope| {
        for _ in 0..askers {
            scope.spawn(|| {
                let entry = Entry { name: "e-1", fingerprint, verify: &verify, build: &build };
                let place = directory_in(root, &entry).unwrap();
                assert_eq!(place, root.join("e-1"));
                verify(&place).unwrap();
            });
        }
    });
    count.into_inner()
}

#[test]
fn of_many_who_ask_at_once_one_builds() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(builds(root.path(), "1", 8), 1);
    assert_eq!(builds(root.path(), "1", 1), 0, "it is kept");
}

#[test]
fn a_new_fingerprint_is_built_unless_what_is_there_has_its_contents() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(builds(root.path(), "1", 1), 1);
    assert_eq!(builds(root.path(), "2", 1), 0);
    fs::write(root.path().join("e-1/a"), "broken").unwrap();
    assert_eq!(builds(root.path(), "3", 1), 1);
}

#[test]
fn what_fails_to_build_or_is_not_what_it_should_be_leaves_nothing_to_find() {
    let root = tempfile::tempdir().unwrap();
    for text in [None, Some("half")] {
        let build = |directory: &Path| {
            let text = text.context("no network")?;
            Ok(fs::write(directory.join("a"), text)?)
        };
        let entry = Entry { name: "e-1", fingerprint: "1", verify: &verify, build: &build };
        assert!(directory_in(root.path(), &entry).is_err());
        assert!(!root.path().join("e-1").is_dir());
    }
    assert_eq!(builds(root.path(), "1", 1), 1);
}
