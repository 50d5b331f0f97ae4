//! Looking into the log: `tap`, `lag` and `topics`, beside a node and without one, and the context
//! of a request on its way to the table.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::sandbox::{KILLED, Sandbox, binary};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event(id: &str, event: &str) -> Value {
    json!({ "message_id": id, "event": event, "user_id": "u1", "timestamp": 0 })
}

/// Posts one event as the request `id` of a trace.
fn post_traced(sandbox: &Sandbox, id: &str, event: &Value) {
    let headers = format!("X-Request-Id: {id}\r\nTraceparent: {TRACE}\r\n");
    let answer = sandbox.post_with_headers(&headers, &event.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-request-id"), Some(id));
}

fn tapped(sandbox: &Sandbox, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["tap", "--format", "json"];
    all.extend(args);
    let output = sandbox.run(&all);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A tap that follows; ended when dropped.
struct Following(Child, BufReader<ChildStdout>);

impl Following {
    fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let mut command = binary();
        command.args(["tap", "--format", "json"]).args(args).arg("--data").arg(sandbox.data());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Self(child, BufReader::new(stdout))
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}

#[test]
fn the_context_of_a_request_travels_from_the_post_to_the_table_commit() {
    let mut sandbox = Sandbox::new().with_args(&["--log", "info,millstream_pipeline=debug"]);
    sandbox.start();
    post_traced(&sandbox, "good-1", &event("1", "page_view"));
    post_traced(&sandbox, "bad-1", &json!({ "message_id": "2", "event": "e" }));
    sandbox.settle();

    let of = |topic: &str, id: &str| {
        let rows =
            tapped(&sandbox, &[topic, "--no-follow", "--filter", &format!("@request_id={id}")]);
        assert_eq!(rows.len(), 1, "{topic} {id}: {rows:?}");
        assert_eq!(rows[0]["trace_parent"], TRACE, "{topic}");
        rows[0].clone()
    };
    let (accepted, clean) = (of("events", "good-1"), of("events-clean", "good-1"));
    assert_eq!(accepted["accepted_ms"], clean["accepted_ms"]);
    assert_eq!(accepted["value"]["message_id"], "1");
    let dead = of("events-dead", "bad-1");
    assert!(dead["headers"]["ms.reason"].as_str().is_some(), "{dead}");
    assert_eq!(dead["accepted_ms"], of("events", "bad-1")["accepted_ms"]);

    let log = sandbox.log();
    let commit = log.lines().find(|line| line.contains("stored what these requests brought"));
    let commit = commit.unwrap_or_else(|| panic!("{log}"));
    assert!(commit.contains("good-1") && commit.contains(TRACE), "{commit}");
    let (_, metrics) = sandbox.get("/metrics");
    assert!(metrics.contains("millstream_pipeline_sink_delay_seconds"), "{metrics}");
}

#[test]
fn a_tap_follows_what_comes_and_filters_it() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.post(&event("0", "purchase").to_string()).0, 200);
    let filter = ["--filter", "event=purchase"];
    let mut following =
        Following::start(&sandbox, &[&["events", "--from", "beginning"][..], &filter].concat());
    assert_eq!(following.line()["value"]["message_id"], "0");
    for (id, name) in [("1", "page_view"), ("2", "purchase"), ("3", "page_view"), ("4", "purchase")]
    {
        assert_eq!(sandbox.post(&event(id, name).to_string()).0, 200);
    }
    assert_eq!(following.line()["value"]["message_id"], "2");
    assert_eq!(following.line()["value"]["message_id"], "4");
    // A tap that is read from is no reason for a node not to stop.
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
    drop(following);

    let all = tapped(&sandbox, &["events", "--from", "1d", "--limit", "3"]);
    let ids: Vec<_> = all.iter().map(|row| row["value"]["message_id"].clone()).collect();
    assert_eq!(ids, ["0", "1", "2"]);
    let none = sandbox.run(&["tap", "events", "--filter", "event=refund"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{}", none.stderr);
    let said = "at the end: 5 records looked at, 0 shown";
    assert!(none.stderr.contains(said), "{}", none.stderr);
    let text = sandbox.run(&["tap", "events", "--limit", "1"]);
    assert!(text.stdout.contains(" key=0 request="), "{}", text.stdout);
    assert!(text.stderr.contains("no node runs"), "{}", text.stderr);
}

#[test]
fn a_node_lets_so_many_taps_in_and_no_more() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.post(&event("0", "e").to_string()).0, 200);
    let tap = || {
        let mut tap = Following::start(&sandbox, &["events", "--from", "beginning"]);
        assert_eq!(tap.line()["offset"], 0);
        tap
    };
    let mut taps: Vec<_> = (0..8).map(|_| tap()).collect();
    let refused = sandbox.run(&["tap", "events", "--limit", "1"]);
    assert_eq!(refused.code, 75, "{}", refused.stderr);
    assert!(refused.stderr.contains("8 taps read from this node already"), "{}", refused.stderr);
    taps.pop();
    sandbox.wait_until("there is room again", Duration::from_secs(60), |sandbox| {
        sandbox.run(&["tap", "events", "--no-follow"]).code == 0
    });
}

#[test]
fn what_there_is_not_cannot_be_tapped() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let check = |sandbox: &Sandbox| {
        let output = sandbox.run(&["tap", "event", "--no-follow"]);
        assert_eq!(output.code, 65, "{}", output.stderr);
        assert!(output.stderr.contains("events-clean"), "{}", output.stderr);
        assert!(!output.stderr.contains("http"), "{}", output.stderr);
        let output = sandbox.run(&["tap", "events", "--partition", "4", "--no-follow"]);
        assert_eq!(output.code, 65, "{}", output.stderr);
        assert!(output.stderr.contains("partitions 0 to 3"), "{}", output.stderr);
        assert_eq!(sandbox.run(&["topics", "event"]).code, 65);
    };
    check(&sandbox);
    let (status, body) = sandbox.get("/api/v1/tap?topic=events&from=soon");
    assert_eq!(status, 400, "{body}");
    assert_eq!(sandbox.stop(), 0);
    check(&sandbox);
}

#[test]
fn lag_and_topics_say_the_same_beside_a_node_and_without_one() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.run(&["demo", "--events", "500", "--wait"]).code, 0);
    let lag = |sandbox: &Sandbox| {
        let output = sandbox.run(&["lag", "--max-seconds", "0", "--format", "json"]);
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        let mut rows = output.json();
        for row in rows.as_array_mut().unwrap() {
            assert_eq!((&row["lag"], &row["delay_ms"]), (&json!(0), &json!(0)), "{row}");
            assert_eq!(row["unit"], "records");
            row.as_object_mut().unwrap().remove("state");
        }
        rows
    };
    let topics = |sandbox: &Sandbox| sandbox.run(&["topics", "--format", "json"]).stdout;
    let beside = (lag(&sandbox), topics(&sandbox));
    assert_eq!(beside.0.as_array().unwrap().len(), 8, "{}", beside.0);
    let events: Value = serde_json::from_str(beside.1.lines().next().unwrap()).unwrap();
    assert_eq!((&events["name"], &events["count"]), (&json!("events"), &json!(500)));
    let text = sandbox.run(&["lag"]).stdout;
    assert!(text.contains("behind (records)") && text.contains("0 s"), "{text}");
    assert!(text.contains("idle") || text.contains("running"), "{text}");
    assert!(sandbox.run(&["topics", "events"]).stdout.contains("partition"));
    assert_eq!(sandbox.stop(), 0);
    assert_eq!(beside, (lag(&sandbox), topics(&sandbox)));
}

#[test]
fn lag_is_1_when_a_task_is_further_behind_than_it_may_be() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.run(&["demo", "--events", "500", "--wait"]).code, 0);
    assert_eq!(sandbox.stop(), 0);
    // Accepted and never cleaned: the node dies before it can commit that.
    let node = sandbox.try_start_with(Some("processor.before_transact:1")).unwrap();
    let body = event("late", "e").to_string();
    let head = "POST /track HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(node.collector).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(sandbox.wait_for_end(Duration::from_secs(60)), Some(KILLED));
    let output = sandbox.run(&["lag", "--max-seconds", "0", "--format", "json"]);
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    let rows = output.json();
    let late: Vec<_> = rows.as_array().unwrap().iter().filter(|row| row["lag"] != 0).collect();
    assert_eq!(late.len(), 1, "{rows}");
    assert_eq!((&late[0]["role"], &late[0]["topic"]), (&json!("clean"), &json!("events")));
    assert!(late[0]["delay_ms"].as_u64().unwrap() > 0, "{rows}");
    assert_eq!(sandbox.run(&["lag", "--max-seconds", "3600"]).code, 0);
}
