//! What comes from a registry is what was pinned, or it is refused.

use super::*;

/// The sum of `jar`.
const SUMS: &str = "\
0163f1eea7894350060624d315234d40c508ab251ba121714e234503045faadd  a.jar
";

fn check(files: &[(&str, &str)], expected: Option<&str>) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("lib")).unwrap();
    for (name, text) in files {
        fs::write(directory.path().join("lib").join(name), text).unwrap();
    }
    let jars = Jars { name: "test", pom: "", sums: SUMS };
    let found = jars.verify(directory.path()).map_err(|error| format!("{error:#}")).err();
    match (&found, expected) {
        (None, None) => {}
        (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
        _ => panic!("{found:?} {expected:?}"),
    }
}

#[test]
fn the_jars_that_were_pinned_are_taken() {
    check(&[("a.jar", "jar")], None);
}

#[test]
fn a_changed_a_missing_and_a_further_jar_are_refused() {
    check(&[("a.jar", "jar!")], Some("wrong sums: a.jar: FAILED"));
    check(&[], Some("wrong sums: a.jar: FAILED open or read"));
    check(&[("a.jar", "jar"), ("b.jar", "jar")], Some("b.jar came, and was not expected"));
}
