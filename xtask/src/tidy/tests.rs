//! Tests of the checks: a small tree in, findings out.

use std::collections::BTreeSet;

use super::check_files;
use crate::tree::SourceFile;

const TABLE: &str = "\
| Layer | Crates | What |
|---|---|---|
| 0 | `model` | nouns |
| 1 | `log`, `wire` | logs |
| test | `testkit` | servers |
| dev | `xtask` | checks |
";

/// Runs every check over `files` (and a table of layers) and compares `path:line: what`.
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let mut tree = vec![SourceFile::new("ARCHITECTURE.md", TABLE)];
    tree.extend(files.iter().map(|(path, text)| SourceFile::new(path, text)));
    let fixtures = BTreeSet::from(["crates/log/test-data/journal/1".to_owned()]);
    let found: Vec<String> = check_files(&tree, &fixtures)
        .iter()
        .map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.what))
        .collect();
    assert_eq!(found, expected);
}

fn manifest(name: &str, dependencies: &str) -> String {
    format!("[package]\nname = \"{name}\"\n\n{dependencies}")
}

#[test]
fn a_crate_may_use_a_lower_layer() {
    let manifest =
        manifest("millstream-log", "[dependencies]\nmillstream-model.workspace = true\n");
    check(&[("crates/log/Cargo.toml", &manifest)], &[]);
}

#[test]
fn a_crate_may_not_use_its_own_layer_or_a_higher_one() {
    let sideways = manifest("millstream-log", "[dependencies]\nmillstream-wire.workspace = true\n");
    let upwards = manifest("millstream-model", "[dev-dependencies.millstream-log]\npath = \"x\"\n");
    check(
        &[("crates/log/Cargo.toml", &sideways), ("crates/model/Cargo.toml", &upwards)],
        &[
            "crates/log/Cargo.toml:5: `log` (layer 1) depends on `wire` (layer 1)",
            "crates/model/Cargo.toml:4: `model` (layer 0) depends on `log` (layer 1)",
        ],
    );
}

#[test]
fn nothing_uses_the_tools_and_every_crate_has_a_layer() {
    let product = manifest("millstream-new", "");
    let tool = manifest("xtask", "[dependencies]\nmillstream-log.workspace = true\n");
    check(
        &[("crates/new/Cargo.toml", &product), ("xtask/Cargo.toml", &tool)],
        &["crates/new/Cargo.toml:1: crate `new` stands in no row of the table in ARCHITECTURE.md"],
    );
}

#[test]
fn support_of_tests_is_used_by_tests_and_tools_only() {
    let tests = "[dev-dependencies]\nmillstream-testkit.workspace = true\n";
    let product = "[dependencies]\nmillstream-testkit.workspace = true\n";
    check(
        &[
            ("crates/log/Cargo.toml", &manifest("millstream-log", tests)),
            ("crates/model/Cargo.toml", &manifest("millstream-model", product)),
            ("xtask/Cargo.toml", &manifest("xtask", product)),
        ],
        &["crates/model/Cargo.toml:5: `model` (layer 0) depends on `testkit` (test)"],
    );
}

#[test]
fn a_sibling_is_seen_by_tests_only() {
    let tests = "[dev-dependencies]\nmillstream-wire.workspace = true\n";
    check(&[("crates/log/Cargo.toml", &manifest("millstream-log", tests))], &[]);
}

#[test]
fn a_crate_may_name_itself_to_turn_on_its_test_support() {
    let dependency = "[dev-dependencies]\nmillstream-log = { path = \".\" }\n";
    check(&[("crates/log/Cargo.toml", &manifest("millstream-log", dependency))], &[]);
}

#[test]
fn a_file_of_501_lines_is_too_long() {
    let long = format!("//! Page.\n{}", "const A: u8 = 0;\n".repeat(500));
    check(
        &[("crates/log/src/a.rs", &long)],
        &["crates/log/src/a.rs:501: 501 lines, the limit is 500"],
    );
}

#[test]
fn an_exception_raises_the_limit_and_is_refused_when_it_is_not_needed() {
    let long = format!("//! Page.\n{}", "const A: u8 = 0;\n".repeat(500));
    let entry = |path: &str| {
        format!(
            "[[lines]]\npath = \"{path}\"\nlines_max = 510\nreason = \"one state machine, one story\"\n"
        )
    };
    let tidy = entry("crates/log/src/a.rs") + &entry("crates/log/src/gone.rs");
    check(
        &[("crates/log/src/a.rs", &long), ("xtask/tidy.toml", &tidy)],
        &["xtask/tidy.toml:5: `crates/log/src/gone.rs` no longer needs its exception"],
    );
}

#[test]
fn an_exception_without_a_reason_is_refused() {
    let tidy = "[[lines]]\npath = \"crates/log/src/a.rs\"\nlines_max = 900\n";
    check(
        &[("xtask/tidy.toml", tidy)],
        &["xtask/tidy.toml:1: exception without `path` or without a `reason` in a sentence"],
    );
}

#[test]
fn names_that_say_nothing_are_refused() {
    check(
        &[
            ("crates/log/src/journal/mod.rs", "//! Page.\n"),
            ("crates/log/src/utils.rs", "//! Page.\n"),
            ("crates/log/src/a.rs", "//! Page.\npub mod prelude {\n}\n"),
        ],
        &[
            "crates/log/src/a.rs:2: module `prelude` says nothing about what is inside",
            "crates/log/src/journal/mod.rs:1: a module lies in `foo.rs`, not in `foo/mod.rs`",
            "crates/log/src/utils.rs:1: `utils` says nothing about what is inside",
        ],
    );
}

#[test]
fn a_file_begins_with_its_page() {
    check(
        &[("crates/log/src/a.rs", "use x;\n")],
        &["crates/log/src/a.rs:1: the file has no `//!` page"],
    );
}

#[test]
fn lib_holds_modules_and_uses_only() {
    let good =
        "//! Page.\n\n#[cfg(test)]\nmod a;\npub mod b;\n\npub use b::{\n    C,\n    D,\n};\n";
    let bad = "//! Page.\nmod a;\npub fn run() {}\n";
    check(
        &[("crates/log/src/lib.rs", good), ("crates/model/src/lib.rs", bad)],
        &["crates/model/src/lib.rs:3: `lib.rs` holds more than `mod` and `use`: `pub fn run() {}`"],
    );
}

#[test]
fn a_feature_stands_on_modules_only() {
    let attribute = concat!("#[cfg(feat", "ure = \"kafka\")]");
    let good = format!("//! Page.\n{attribute}\n#[doc(hidden)]\npub mod kafka;\n");
    let bad = format!("//! Page.\n{attribute}\nfn kafka() {{}}\n");
    check(
        &[("crates/log/src/a.rs", &good), ("crates/log/src/b.rs", &bad)],
        &["crates/log/src/b.rs:2: `cfg(feature)` on something else than a module"],
    );
}

#[test]
fn commented_out_code_is_found_and_prose_is_not() {
    let dead = "//! Page.\n// let offset = self.next();\n// if self.is_full() {\n";
    let prose =
        "//! Page.\n// Use the older one; if it is gone, the newer.\n/// let x = 1;\n// for now.\n";
    check(
        &[("crates/log/src/a.rs", dead), ("crates/log/src/b.rs", prose)],
        &[
            "crates/log/src/a.rs:2: commented-out code: `let offset = self.next();`",
            "crates/log/src/a.rs:3: commented-out code: `if self.is_full() {`",
        ],
    );
}

#[test]
fn a_result_is_thrown_away_only_with_a_reason() {
    let bad = "//! Page.\nfn f() {\n    let _ = send();\n}\n";
    let good = "//! Page.\nfn f() {\n    // Nobody listens any more.\n    let _ = send();\n}\n";
    check(
        &[
            ("crates/log/src/a.rs", bad),
            ("crates/log/src/a/tests.rs", bad),
            ("crates/log/src/b.rs", good),
        ],
        &["crates/log/src/a.rs:3: a result is thrown away without a word"],
    );
}

#[test]
fn unfinished_work_names_its_issue() {
    let text = concat!("//! Page.\n// TO", "DO(#12): later.\n// TO", "DO: later.\n");
    let what = concat!("crates/log/src/a.rs:3: `TO", "DO` without an issue");
    check(&[("crates/log/src/a.rs", text)], &[what]);
}

#[test]
fn a_place_on_one_machine_is_found_and_an_address_is_not() {
    let text = concat!("See /ho", "me/ann/x.\nSee example.org/ho", "me/x and target/tm", "p/x.\n");
    let what = concat!("docs/a.md:1: `/ho", "me/…` exists on one machine only");
    check(&[("docs/a.md", text)], &[what]);
}

#[test]
fn a_format_page_has_a_fixture_or_says_that_none_is_stored() {
    check(
        &[
            ("docs/formats/journal.md", "Fixture: `crates/log/test-data/journal/1/`.\n"),
            ("docs/formats/answer.md", "An answer is never on disk: no\nfixture is stored.\n"),
            ("docs/formats/lost.md", "Fixture: `crates/log/test-data/lost/1`.\n"),
        ],
        &["docs/formats/lost.md:1: the page names no directory of fixtures that exists"],
    );
}

const METRICS: &str = "\
//! Page.
pub const APPENDS: &str = \"millstream_log_appends_total\";
describe_counter!(APPENDS, Unit::Count, \"Appends, durable \\
    or not.\");
";

#[test]
fn the_page_of_metrics_is_made_from_the_declarations() {
    let files = [SourceFile::new("crates/log/src/metrics.rs", METRICS)];
    let page = super::metrics::page(&files);
    let row = "| `millstream_log_appends_total` | counter | Appends, durable or not |\n";
    assert!(page.ends_with(row), "{page}");
    check(&[("crates/log/src/metrics.rs", METRICS), ("docs/reference/metrics.md", &page)], &[]);
}

#[test]
fn a_page_of_metrics_that_is_out_of_date_is_refused() {
    let files = [SourceFile::new("crates/log/src/metrics.rs", METRICS)];
    let page = super::metrics::page(&files).replace("durable or not", "all of them");
    check(
        &[("crates/log/src/metrics.rs", METRICS), ("docs/reference/metrics.md", &page)],
        &["docs/reference/metrics.md:10: the page is out of date"],
    );
}

#[test]
fn a_metric_is_declared_in_one_place_with_a_help_text() {
    let bare = "//! Page.\nconst A: &str = \"millstream_log_a_total\";\n";
    let page = super::metrics::page(&[SourceFile::new("crates/log/src/metrics.rs", bare)]);
    check(
        &[
            ("crates/log/src/metrics.rs", bare),
            ("crates/log/src/a.rs", "//! Page.\nconst B: &str = \"millstream_log_b_total\";\n"),
            ("crates/log/src/tests.rs", "//! Page.\nconst C: &str = \"millstream_log_c_total\";\n"),
            ("docs/reference/metrics.md", &page),
        ],
        &[
            "crates/log/src/a.rs:2: metric `millstream_log_b_total` outside `metrics.rs`",
            "crates/log/src/metrics.rs:2: metric `millstream_log_a_total` without a help text",
        ],
    );
}

#[test]
fn a_link_leads_to_a_file_that_exists() {
    let page = "See [a](../a.md#part), [b](b.md), [c](https://example.org/x) and [d](#part).\n";
    let files = [SourceFile::new("docs/page.md", page)];
    let findings = super::links::check(&files, |path| path.ends_with("a.md"));
    let found: Vec<String> = findings.iter().map(|finding| finding.what.clone()).collect();
    assert_eq!(found, ["the link to `b.md` leads nowhere"]);
}
