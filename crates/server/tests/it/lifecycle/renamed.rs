//! A pipeline or a sink under another name: refused, or it says so and goes on where it stood.

use std::path::PathBuf;

use serde_json::json;

use super::{events, stored};
use crate::quickstart::QUICKSTART;
use crate::sandbox::{Output, Sandbox};

/// Returns the quickstart with the pipeline or sink called `name` instead of `events`, and what
/// else is said about it.
fn renamed(config: &str, section: &str, name: &str, more: &str) -> String {
    let key = format!("\n{section}:\n  events:\n");
    assert!(config.contains(&key), "the quickstart has no `{key}`");
    config.replace(&key, &format!("\n{section}:\n  {name}:\n{more}"))
}

fn file(sandbox: &Sandbox) -> PathBuf {
    sandbox.data().join("../millstream.yaml")
}

/// Returns how a node ends that does not start.
fn refused(sandbox: &Sandbox, config: &str) -> Output {
    let file = file(sandbox);
    std::fs::write(&file, config).unwrap();
    let run = ["run", "-c", file.to_str().unwrap()];
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let output = sandbox.run(&[run.as_slice(), ports.as_slice()].concat());
    assert_eq!(output.code, 78, "{}", output.stderr);
    output
}

fn start(sandbox: &mut Sandbox, config: &str) {
    std::fs::write(file(sandbox), config).unwrap();
    sandbox.start();
}

/// Posts ten good events and a bad one.
fn post(sandbox: &Sandbox, first: usize) {
    assert_eq!(sandbox.post(&events(first, 10)).0, 200);
    let bad = json!([{ "message_id": format!("bad{first}"), "event": "page_view" }]);
    assert_eq!(sandbox.post(&bad.to_string()).0, 200);
}

/// Checks that each of the events up to `count` is there once, and the books balance.
fn check(sandbox: &mut Sandbox, count: u64) {
    sandbox.settle();
    assert_eq!(stored(sandbox), count);
    let sql = "SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM events";
    let rows = sandbox.query(sql);
    let number = |column: &str| rows[0][column].as_u64();
    assert_eq!((number("n"), number("ids")), (Some(count), Some(count)), "{rows}");
    let letters = sandbox.run(&["dlq", "--format", "json"]).stdout;
    assert_eq!(letters.lines().count() as u64, count / 10, "{letters}");
    let books = sandbox.run(&["reconcile", "--deep"]);
    assert_eq!(books.code, 0, "{}{}", books.stdout, books.stderr);
}

#[test]
fn another_name_is_refused_and_the_remedy_is_named() {
    let mut sandbox = Sandbox::with_config(QUICKSTART);
    sandbox.start();
    post(&sandbox, 0);
    sandbox.settle();
    assert_eq!(sandbox.stop(), 0);
    for (section, refusal) in [
        ("pipelines", "pipeline `events` is gone and the new pipeline `renamed` reads"),
        ("sinks", "sink `events` is gone and the new sink `renamed` fills the same table `events`"),
    ] {
        let output = refused(&sandbox, &renamed(QUICKSTART, section, "renamed", ""));
        assert!(output.stderr.contains(refusal), "{}", output.stderr);
        let remedy = format!("add `renamed_from: events` to `{section}.renamed`");
        assert!(output.stderr.contains(&remedy), "{}", output.stderr);
    }
    // Called as before, it goes on where it was.
    start(&mut sandbox, QUICKSTART);
    post(&sandbox, 10);
    check(&mut sandbox, 20);
}

#[test]
fn what_says_that_it_was_renamed_goes_on_where_it_stood() {
    let mut sandbox = Sandbox::with_config(QUICKSTART);
    sandbox.start();
    post(&sandbox, 0);
    sandbox.settle();
    assert_eq!(sandbox.stop(), 0);

    let old_name = "    renamed_from: events\n";
    let pipeline = renamed(QUICKSTART, "pipelines", "cleaning", old_name);
    start(&mut sandbox, &pipeline);
    post(&sandbox, 10);
    check(&mut sandbox, 20);
    sandbox.kill();

    let both = renamed(&pipeline, "sinks", "storing", old_name);
    start(&mut sandbox, &both);
    // Before anything new came: the table knows the sink by its new name.
    check(&mut sandbox, 20);
    post(&sandbox, 20);
    check(&mut sandbox, 30);
    assert_eq!(sandbox.stop(), 0);

    // Once it is done the key says nothing any more, and may go.
    start(&mut sandbox, &both.replace(old_name, ""));
    post(&sandbox, 30);
    check(&mut sandbox, 40);
    assert_eq!(sandbox.stop(), 0);

    // The old name is free, but what is there under it now stays what it is.
    let back = both.replace(
        "  storing:\n    renamed_from: events\n",
        "  events:\n    renamed_from: storing\n",
    );
    start(&mut sandbox, &back);
    post(&sandbox, 40);
    check(&mut sandbox, 50);
}

#[test]
fn a_node_killed_while_it_renames_goes_on_renaming() {
    let old_name = "    renamed_from: events\n";
    let both = renamed(QUICKSTART, "pipelines", "cleaning", old_name);
    let both = renamed(&both, "sinks", "storing", old_name);
    let mut sandbox = Sandbox::with_config(QUICKSTART);
    sandbox.start();
    post(&sandbox, 0);
    check(&mut sandbox, 10);
    sandbox.kill();
    // What the next start finds: the tasks were renamed, the flow was not.
    let flow = std::fs::read(sandbox.data().join("flow.json")).unwrap();
    start(&mut sandbox, &both);
    sandbox.kill();
    std::fs::write(sandbox.data().join("flow.json"), flow).unwrap();
    let output = refused(&sandbox, &both.replace(old_name, ""));
    assert!(output.stderr.contains("add `renamed_from: events`"), "{}", output.stderr);
    start(&mut sandbox, &both);
    post(&sandbox, 10);
    check(&mut sandbox, 20);
}
