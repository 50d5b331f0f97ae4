//! `validate`: every mistake is shown with its place, and every example is right.
//!
//! One file for each mistake lies in `tests/mistakes`; what a user sees for it is a snapshot.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::sandbox::{Output, run_in};

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml_files(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    names
}

fn validate(dir: &Path, file: &str) -> Output {
    run_in(dir, &["validate", "-c", file])
}

fn examples() -> PathBuf {
    crate_dir().join("../../examples")
}

#[test]
fn every_mistake_is_shown_with_its_line_its_column_and_a_hint() {
    let dir = crate_dir().join("tests/mistakes");
    let files = yaml_files(&dir);
    assert!(files.len() >= 60, "only {} mistakes", files.len());
    let mut shown = String::new();
    for file in &files {
        let output = validate(&dir, file);
        assert_eq!(output.code, 78, "{file}: {}{}", output.stdout, output.stderr);
        assert_eq!(output.stdout, "", "{file}");
        assert!(
            output.stderr.contains(&format!("[{file}:")),
            "{file}: no place: {}",
            output.stderr
        );
        writeln!(shown, "═══ {file}\n{}", output.stderr).unwrap();
    }
    insta::assert_snapshot!("mistakes", shown);
}

#[test]
fn every_example_is_valid() {
    let files = yaml_files(&examples());
    assert!(files.contains(&"quickstart.yaml".to_owned()));
    for file in files {
        let output = validate(&examples(), &file);
        assert_eq!(output.code, 0, "{file}: {}", output.stderr);
        assert!(output.stdout.contains("is valid"), "{}", output.stdout);
    }
}

#[test]
fn machines_get_the_mistakes_as_json_on_stdout() {
    let dir = crate_dir().join("tests/mistakes");
    let output = run_in(&dir, &["validate", "--format", "json", "-c", "unknown-key.yaml"]);
    assert_eq!(output.code, 78);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["valid"], false);
    let problem = &report["problems"][0];
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(2), Some(3)));
    assert_eq!(problem["hint"], "did you mean `listen`?");
}

#[test]
fn a_variable_fills_a_scalar_and_its_default_stands_in() {
    let dir = tempfile::tempdir().unwrap();
    let text = "collector:\n  listen: 127.0.0.1:${PORT:-8080}\n  idle_timeout: ${TIME:-5} s\n";
    std::fs::write(dir.path().join("file.yaml"), text).unwrap();
    assert_eq!(validate(dir.path(), "file.yaml").code, 0);
}

#[test]
fn a_variable_cannot_add_keys() {
    let dir = tempfile::tempdir().unwrap();
    let text = "collector:\n  topic: ${TOPIC:-events\\n  lisen: x}\n";
    std::fs::write(dir.path().join("file.yaml"), text).unwrap();
    let output = validate(dir.path(), "file.yaml");
    assert_eq!(output.code, 78);
    assert!(!output.stderr.contains("unknown key"), "{}", output.stderr);
}

#[test]
fn a_file_that_cannot_be_read_is_no_mistake_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let output = validate(dir.path(), "missing.yaml");
    assert_eq!(output.code, 74, "{}", output.stderr);
    assert!(output.stderr.contains("missing.yaml"), "{}", output.stderr);
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file.yaml"), [b'a', 0xff, b'\n']).unwrap();
    let output = validate(dir.path(), "file.yaml");
    assert_eq!(output.code, 78, "{}", output.stderr);
    assert!(output.stderr.contains("not UTF-8 at byte 1"), "{}", output.stderr);
}
