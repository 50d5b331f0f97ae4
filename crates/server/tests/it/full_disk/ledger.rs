//! What was posted and what was answered: the other side of the comparison.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// Events in one request; the last of them is bad.
const EVENTS: usize = 50;

/// The requests so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    requests: usize,
    /// Answered 200: all of these must be stored.
    accepted: BTreeSet<usize>,
    /// Answered `outcome_unknown`: these may be stored.
    doubtful: BTreeSet<usize>,
    refused: usize,
}

impl Ledger {
    /// Makes the next request: good events and a bad one.
    pub(super) fn batch(&mut self) -> String {
        let request = self.requests;
        self.requests += 1;
        let event = |number: usize| {
            let mut event = json!({
                "message_id": id(request, number),
                "event": "view",
                "user_id": "u",
                "timestamp": "2026-11-22 10:11:12",
                "properties": { "filler": "x".repeat(900) },
            });
            if is_bad(number) {
                event["user_id"] = Value::Null;
            }
            event
        };
        Value::Array((0..EVENTS).map(event).collect()).to_string()
    }

    /// Posts the next request, notes the answer and returns its status.
    pub(super) fn post(&mut self, sandbox: &Sandbox) -> u16 {
        let request = self.requests;
        let body = self.batch();
        let answer = sandbox.post_for_answer(&body);
        match answer.status {
            200 => {
                self.accepted.insert(request);
            }
            503 if answer.body.contains("outcome_unknown") => {
                self.doubtful.insert(request);
            }
            503 => self.refused += 1,
            _ => panic!("unexpected: {answer:?}"),
        }
        answer.status
    }

    /// Compares what was answered with what is stored.
    pub(super) fn check(&self, good: &[String], bad: &[String]) {
        println!(
            "full disk: {} requests accepted, {} refused, {} doubtful; {} rows, {} dead letters",
            self.accepted.len(),
            self.refused,
            self.doubtful.len(),
            good.len(),
            bad.len(),
        );
        for (stored, wants_bad) in [(good, false), (bad, true)] {
            let ids = |requests: &BTreeSet<usize>| -> BTreeSet<String> {
                let numbers = (0..EVENTS).filter(|number| is_bad(*number) == wants_bad);
                numbers.flat_map(|n| requests.iter().map(move |request| id(*request, n))).collect()
            };
            let once: BTreeSet<String> = stored.iter().cloned().collect();
            assert_eq!(once.len(), stored.len(), "something is stored twice");
            let (accepted, doubtful) = (ids(&self.accepted), ids(&self.doubtful));
            let lost: Vec<_> = accepted.difference(&once).collect();
            assert!(lost.is_empty(), "lost: {lost:?}");
            let unasked =
                once.iter().filter(|id| !accepted.contains(*id) && !doubtful.contains(*id));
            assert_eq!(unasked.collect::<Vec<_>>(), Vec::<&String>::new(), "stored though refused");
        }
    }
}

fn id(request: usize, number: usize) -> String {
    format!("{request}-{number}")
}

fn is_bad(number: usize) -> bool {
    number == EVENTS - 1
}
