//! Kafka away under load: nothing is refused, nothing lost, and what waited arrives in order.
//!
//! `MILLSTREAM_OUTAGE_SECONDS` sets how long Kafka is away; 120 and 3600 are the long runs:
//! `MILLSTREAM_OUTAGE_SECONDS=120 cargo test -p millstream-server --test it outage -- --nocapture`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream_testkit::kafka::{Config, Kafka};
use tokio::time::Instant;

use super::drained::{is_drained, is_spool_empty};
use super::load::Bell;
use super::topic::Topics;
use super::workers::stay;
use crate::kill::number_from_env;
use crate::quickstart::{kafka_and_lake, routed_by_user};
use crate::sandbox::{Sandbox, TEMPORARY, alone};
use crate::spool::replay;

/// How long Kafka is away unless the run is told otherwise.
const OUTAGE_SECONDS: u64 = 20;
/// Each client has one key, so that it knows the order of that key's events.
const CLIENTS: usize = 6;
/// How many events a request carries.
const REQUEST_EVENTS: u64 = 5;
/// How long a client rests between two requests.
const REST: Duration = Duration::from_millis(50);
/// How long there is load before and after the outage.
const AROUND: Duration = Duration::from_secs(2);
/// The least that is waited for what was posted to arrive; a long outage takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many events of each key are posted, each with the next number.
#[derive(Debug, Default)]
struct Posted([AtomicU64; CLIENTS]);

impl Posted {
    fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Posts events of one key until the bell rings; each must be taken.
    fn post(&self, sandbox: &Sandbox, client: usize, bell: &Bell) {
        while !bell.wait(REST) {
            let first = self.0[client].load(Ordering::Relaxed);
            let events = (first..first + REQUEST_EVENTS).map(|number| {
                format!(
                    r#"{{"event":"e","user_id":"u{client}","message_id":"{client}-{number}","timestamp":1795342272345}}"#
                )
            });
            let body = events.collect::<Vec<_>>().join(",");
            let (status, answer) = sandbox.post(&format!("[{body}]"));
            assert_eq!(status, 200, "refused: {answer}");
            self.0[client].store(first + REQUEST_EVENTS, Ordering::Relaxed);
        }
    }

    /// Posts from all clients while `meanwhile` happens.
    fn post_while(&self, sandbox: &Sandbox, meanwhile: impl FnOnce()) {
        let bell = Bell::default();
        std::thread::scope(|scope| {
            let _over = bell.ring_at_end();
            for client in 0..CLIENTS {
                let bell = &bell;
                scope.spawn(move || self.post(sandbox, client, bell));
            }
            meanwhile();
        });
    }

    /// Waits until all of it is in the table, and checks the clean topic: each event is there
    /// once, those of one key in the order in which they were posted.
    fn check(&self, sandbox: &Sandbox, topics: &Topics<'_>, patience: Duration) {
        let (total, began) = (usize::try_from(self.total()).unwrap(), Instant::now());
        sandbox.wait_until(&format!("{total} rows"), patience, |sandbox| {
            is_drained(std::slice::from_ref(sandbox)) && sandbox.row_count() >= total
        });
        println!("everything arrived {:?} after the last post", began.elapsed());
        assert_eq!(sandbox.row_count(), total, "rows");
        let [clean, dead_letters] =
            topics.message_ids([("events-clean", total), ("events-dead", 0)]);
        assert_eq!(dead_letters.len(), 0, "every event is good");
        let mut next: BTreeMap<usize, u64> = BTreeMap::new();
        for id in &clean {
            let (client, number) = id.split_once('-').unwrap();
            let next = next.entry(client.parse().unwrap()).or_default();
            assert_eq!(number.parse::<u64>().unwrap(), *next, "the next event of client {client}");
            *next += 1;
        }
        for (client, posted) in self.0.iter().enumerate() {
            let found = next.get(&client).copied().unwrap_or(0);
            assert_eq!(found, posted.load(Ordering::Relaxed), "events of client {client}");
        }
        println!("compared {total} events of {CLIENTS} keys: each there once, in order");
    }
}

#[test]
fn an_outage_of_kafka_refuses_nothing_and_keeps_the_order_of_each_key() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let seconds = number_from_env("MILLSTREAM_OUTAGE_SECONDS", OUTAGE_SECONDS);
    let outage = Duration::from_secs(seconds);
    println!("Kafka is away for {outage:?}");
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let lake = tempfile::tempdir().unwrap();
    let brokers = cluster.bootstrap();
    let on_kafka = kafka_and_lake(&brokers, lake.path(), "");
    let mut sandbox = Sandbox::with_config(&format!("{}{on_kafka}", routed_by_user()));
    let topics = Topics::new(&kafka, brokers);
    let patience = PATIENCE + outage;
    let posted = Posted::default();

    sandbox.start();
    posted.post_while(&sandbox, || {
        stay(AROUND);
        // Not in order: while it stops, Kafka 4.3.1 takes its own partitions for deleted, and
        // forgets to end transactions.
        cluster.broker(0).kill().unwrap();
        let before = posted.total();
        stay(outage);
        sandbox.wait_until(
            "the spool shows that Kafka is away",
            PATIENCE,
            shows_that_kafka_is_away,
        );
        println!("{} events were taken meanwhile", posted.total() - before);
        cluster.start().unwrap();
        stay(AROUND);
    });
    posted.check(&sandbox, &topics, patience);
    sandbox.wait_until("nothing waits in the spool", PATIENCE, is_spool_empty);
    assert_eq!(replay(&sandbox).code, TEMPORARY, "a node runs");
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
    let agreed = replay(&sandbox);
    assert_eq!(agreed.code, 0, "{}", agreed.stderr);
    assert!(agreed.stdout.contains("nothing is to be replayed"), "{}", agreed.stdout);

    // The collector's disk is gone: another journal, the same cluster and table.
    fs::remove_dir_all(sandbox.data()).unwrap();
    sandbox.start();
    posted.post_while(&sandbox, || stay(AROUND));
    posted.check(&sandbox, &topics, patience);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

/// Whether a spool says that it is stuck, how many events wait, and since when.
fn shows_that_kafka_is_away(sandbox: &Sandbox) -> bool {
    sandbox.spool_tasks().iter().any(|task| {
        task["state"] == "stuck" && task["lag"].as_u64() > Some(0) && task["oldest_ms"].is_i64()
    })
}
