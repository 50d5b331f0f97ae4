//! `dedupe` on the real binary: half of the posts come twice, and the table has each event once,
//! whether or not the node is killed in between.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::sandbox::{KILLED, Sandbox, alone};

const POSTS: usize = 32;
const EVENTS_OF_A_POST: usize = 25;
/// How often everything may come again until each crash point was met.
const AGAIN_MAX: usize = 20;
/// What kills the node, one after the other; nothing: it is killed from outside.
const KILLS: [Option<&str>; 10] = [
    Some("processor.before_transact:5"),
    Some("processor.after_transact:3"),
    Some("journal.before_sync:12"),
    Some("collector.before_answer:2"),
    None,
    Some("journal.after_sync:9"),
    Some("processor.after_transact:6"),
    Some("journal.before_write:10"),
    Some("lake.after_catalog:1"),
    Some("journal.recovery.scan:1"),
];
const PATIENCE: Duration = Duration::from_secs(20);

/// What happens to the node while clients post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Calm,
    Killed,
}

/// A node, and what is to happen to it.
struct Scene {
    sandbox: Sandbox,
    disturbance: Disturbance,
    kills: usize,
}

impl Scene {
    fn new(disturbance: Disturbance) -> Self {
        let example = include_str!("../../../../examples/dedupe.yaml");
        let yaml = example.replace("commit_interval: 1 s", "commit_interval: 100 ms");
        let mut scene = Self { sandbox: Sandbox::with_config(&yaml), disturbance, kills: 0 };
        scene.start();
        scene
    }

    /// Starts the node; where it is to be killed, the next crash point is armed.
    fn start(&mut self) {
        loop {
            let armed = match self.disturbance {
                Disturbance::Calm => None,
                Disturbance::Killed => KILLS[self.kills % KILLS.len()],
            };
            if self.sandbox.try_start_with(armed).is_some() {
                return;
            }
            // It met its crash point before it was ready.
            self.kills += 1;
        }
    }

    /// Posts until the events are acknowledged, as a client does that does not give up.
    fn post(&mut self, number: usize) {
        let body = events(number);
        while !post_once(self.sandbox.node().collector, &body) {
            let code = self.sandbox.wait_for_end(PATIENCE);
            assert_eq!(code, Some(KILLED), "the node is there: {}", self.sandbox.log());
            self.kills += 1;
            self.start();
        }
        let from_outside = KILLS[self.kills % KILLS.len()].is_none();
        if self.disturbance == Disturbance::Killed && from_outside {
            self.sandbox.kill();
            self.kills += 1;
            self.start();
        }
    }

    /// Lets everything arrive, and returns the rows and how often each is there.
    fn rows(&mut self) -> Value {
        // Whatever is armed is not to strike any more.
        self.sandbox.kill();
        self.disturbance = Disturbance::Calm;
        self.start();
        self.sandbox.settle();
        self.sandbox.query(
            "SELECT message_id, user_id, count(*) AS n FROM events \
             GROUP BY message_id, user_id ORDER BY message_id",
        )
    }

    fn books(&self) -> Value {
        let books = self.sandbox.run(&["reconcile", "--deep", "--format", "json"]);
        assert_eq!(books.code, 0, "{}{}", books.stdout, books.stderr);
        books.json()["books"][0].clone()
    }
}

/// Returns the body of a post.
fn events(number: usize) -> String {
    let event = |place: usize| {
        let id = number * EVENTS_OF_A_POST + place;
        json!({ "message_id": format!("m{id:05}"), "user_id": format!("u{}", id % 7),
                "event": "click", "timestamp": 1_795_000_000_000_u64 + id as u64 })
    };
    Value::Array((0..EVENTS_OF_A_POST).map(event).collect()).to_string()
}

/// Posts once; whether it was acknowledged.
fn post_once(collector: SocketAddr, body: &str) -> bool {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(collector)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST /track HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    exchange().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Posts everything, half of it twice: at once, or when others came in between.
fn post_all(scene: &mut Scene) {
    for number in 0..POSTS {
        scene.post(number);
        match number % 4 {
            1 => scene.post(number),
            3 => scene.post(number - 1),
            _ => {}
        }
    }
}

#[test]
fn events_that_come_twice_are_rows_once_also_when_the_node_is_killed() {
    let _alone = alone();
    let mut calm = Scene::new(Disturbance::Calm);
    post_all(&mut calm);
    let expected = calm.rows();
    let ids = POSTS * EVENTS_OF_A_POST;
    assert_eq!(expected.as_array().map(Vec::len), Some(ids));
    assert!(expected.as_array().unwrap().iter().all(|row| row["n"] == 1), "{expected}");
    let books = calm.books();
    assert_eq!(books["deduplicated"], ids as u64 / 2, "{books}");

    let mut killed = Scene::new(Disturbance::Killed);
    post_all(&mut killed);
    // A fast machine meets fewer crash points in as many posts: what comes again changes no row.
    for number in (0..POSTS).cycle().take(AGAIN_MAX * POSTS) {
        if killed.kills >= KILLS.len() {
            break;
        }
        killed.post(number);
    }
    assert_eq!(killed.rows(), expected);
    // Retries of what was stored and not acknowledged come on top.
    let deduplicated = killed.books()["deduplicated"].as_u64().unwrap();
    assert!(deduplicated >= ids as u64 / 2, "{deduplicated}");
    assert!(killed.kills >= KILLS.len(), "only {} kills", killed.kills);
    println!("{} kills, {deduplicated} duplicates", killed.kills);
}

#[test]
fn what_is_remembered_is_shown_and_survives_a_restart() {
    let mut scene = Scene::new(Disturbance::Calm);
    scene.post(0);
    scene.sandbox.settle();
    scene.sandbox.restart();
    let (status, text) = scene.sandbox.get("/api/v1/status");
    assert_eq!(status, 200, "{text}");
    let status: Value = serde_json::from_str(&text).unwrap();
    let tasks = status["tasks"].as_array().unwrap();
    let keyed: Vec<&Value> = tasks.iter().filter_map(|task| task.get("keyed")).collect();
    assert_eq!(keyed.len(), 4, "{status}");
    // The ids, and one entry of books for each task that had any.
    let entries: u64 = keyed.iter().filter_map(|row| row["entries"].as_u64()).sum();
    let ids = EVENTS_OF_A_POST as u64;
    assert!((ids + 1..=ids + 4).contains(&entries), "{entries}");
    scene.post(0);
    scene.sandbox.settle();
    assert_eq!(scene.books()["deduplicated"], ids);
}
