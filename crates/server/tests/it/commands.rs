//! The commands' answers and exit codes, as `docs/reference/cli.md` promises them.

use serde_json::Value;

use crate::sandbox::{Sandbox, run_in};

#[test]
fn help_teaches_each_command_by_an_example() {
    let sandbox = Sandbox::new();
    let root = run_in(std::path::Path::new("."), &["--help"]);
    assert_eq!(root.code, 0);
    assert!(root.stdout.contains("Exit codes:"), "{}", root.stdout);
    for command in ["run", "validate", "query", "reconcile", "demo", "dlq", "tap", "lag", "topics"]
    {
        let help = sandbox.run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        assert!(help.stdout.contains("Examples:"), "{command}: {}", help.stdout);
        assert!(help.stdout.contains(&format!("millstream {command}")), "{command}");
        assert!(root.stdout.contains(command), "{command}");
    }
}

#[test]
fn a_wrong_command_line_is_64() {
    let sandbox = Sandbox::new();
    for args in [
        &["fly"][..],
        &["run", "--wings"],
        &["query"],
        &["demo", "--events", "0"],
        &["dlq", "--limit", "many"],
        &["tap"],
        &["tap", "events", "--from", "soon"],
        &["tap", "events", "--filter", "@colour=red"],
        &["lag", "--max-seconds", "1 m"],
        &["--log", "info,=x", "reconcile"],
        &["demo", "--url", "ftp://127.0.0.1/track"],
    ] {
        let output = sandbox.run(args);
        assert_eq!(output.code, 64, "{args:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[test]
fn without_a_node_and_its_data_the_commands_say_where_they_looked() {
    let sandbox = Sandbox::new();
    let commands: [&[&str]; 7] = [
        &["demo"],
        &["reconcile"],
        &["dlq"],
        &["query", "SELECT 1"],
        &["tap", "events"],
        &["lag"],
        &["topics"],
    ];
    for args in commands {
        let output = sandbox.run(args);
        assert_eq!(output.code, 69, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("hint:"), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_73() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let output = run_in(dir.path(), &["run", "--data", "file/data"]);
    assert_eq!(output.code, 73, "{}", output.stderr);
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&["reconcile", "--format", "json"]);
    let error: Value = serde_json::from_str(&output.stderr).unwrap();
    assert_eq!(error["exit_code"], 69);
    assert!(error["error"].as_str().unwrap().contains("no node"));
}

#[test]
fn a_query_that_cannot_be_planned_is_65() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    for sql in ["SELECT * FROM nothing", "SELEC 1", "DROP TABLE events"] {
        let output = sandbox.run(&["query", sql]);
        assert_eq!(output.code, 65, "{sql}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{sql}");
    }
}

#[test]
fn the_demo_posts_good_and_bad_events_and_waits_until_they_are_stored() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let output = sandbox.run(&["demo", "--events", "2000", "--wait", "--format", "json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let posted = output.json();
    assert_eq!(posted["accepted"].as_u64(), Some(2000), "{posted}");

    let books = sandbox.run(&["reconcile", "--format", "json"]).json();
    let line = &books["books"][0];
    assert_eq!(line["accepted"], 2000);
    assert_eq!(line["in_flight"], 0);
    let dead = line["dead_lettered"].as_u64().unwrap();
    assert!((10..=100).contains(&dead), "{books}");
    assert_eq!(line["stored"].as_u64().unwrap() + dead, 2000);

    let table = sandbox.run(&["query", "SELECT event, count(*) AS n FROM events GROUP BY event"]);
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(table.stdout.contains("page_view"), "{}", table.stdout);
}

#[test]
fn the_same_answers_come_without_a_node() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.run(&["demo", "--events", "500", "--wait"]).code, 0);
    let commands: [&[&str]; 3] = [
        &["reconcile", "--deep", "--format", "json"],
        &["dlq", "--format", "json"],
        &["query", "--format", "json", "SELECT count(*) AS n FROM events"],
    ];
    let beside: Vec<String> = commands.iter().map(|args| sandbox.run(args).stdout).collect();
    assert_eq!(sandbox.stop(), 0);
    let without: Vec<String> = commands.iter().map(|args| sandbox.run(args).stdout).collect();
    assert_eq!(beside, without);
}

#[test]
fn books_that_do_not_balance_are_1() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.run(&["demo", "--events", "300", "--wait"]).code, 0);
    assert_eq!(sandbox.stop(), 0);
    // The table loses its rows, the log keeps its counts.
    std::fs::remove_dir_all(sandbox.data().join("lake")).unwrap();
    let output = sandbox.run(&["reconcile"]);
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("NOT balanced"), "{}", output.stdout);
}

#[test]
fn dead_letters_come_oldest_first_and_whole_as_json_also_from_before_a_restart() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let filler = "x".repeat(10_000);
    let bad = |id: usize| serde_json::json!({ "message_id": id, "event": "e", "filler": filler });
    for id in 0..4 {
        assert_eq!(sandbox.post(&bad(id).to_string()).0, 200);
        sandbox.settle();
        if id == 1 {
            sandbox.restart();
        }
    }
    let letters = sandbox.run(&["dlq", "--limit", "3", "--format", "json"]);
    let values = letters.stdout.lines().map(|line| {
        let letter: Value = serde_json::from_str(line).unwrap();
        serde_json::from_str::<Value>(letter["value"].as_str().unwrap()).unwrap()
    });
    let values: Vec<Value> = values.collect();
    assert_eq!(values, [bad(1), bad(2), bad(3)]);
    let text = sandbox.run(&["dlq", "--limit", "3"]);
    assert!(text.stdout.lines().nth(2).unwrap().contains("…"), "{}", text.stdout);
    assert!(text.stderr.contains("3 of 4 dead letters, the newest last"), "{}", text.stderr);
    assert!(text.stderr.contains("--format json"), "{}", text.stderr);
}

#[test]
fn a_command_that_finds_nothing_names_the_directory_it_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["query", "SELECT 1"][..], &["reconcile"], &["dlq"], &["demo"]] {
        let output = run_in(dir.path(), args);
        assert_eq!(output.code, 69, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("/data (the default, no --data was given)"), "{output:?}");
        assert!(output.stderr.contains("millstream run`"), "{output:?}");
    }
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let empty = sandbox.run(&["query", "SELECT * FROM events"]);
    assert_eq!(empty.code, 0, "{}", empty.stderr);
    assert!(empty.stderr.contains("nothing found in data directory"), "{}", empty.stderr);
}
