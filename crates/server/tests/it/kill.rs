//! The kill test: eight clients post, the real binary is killed again and again at named moments,
//! and in the end other people's programs read exactly what was acknowledged.
//!
//! Each round starts the node on what the last one left, arms one crash point (or none: then the
//! kill comes from outside at a seeded moment), and posts until the node is dead. `SIGKILL` proves
//! nothing about the disk's cache: power cuts are the crash-point test of the log crate.
//!
//! `MILLSTREAM_KILLS` sets the number of kills, `MILLSTREAM_SEED` the seed of all that is random;
//! with `MILLSTREAM_READERS_REQUIRED` the test fails, and is not skipped, without its readers.

pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod ledger;
mod phase;
pub(crate) mod readers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use millstream_runtime::Rng;

use crate::quickstart::QUICKSTART;
use crate::sandbox::{KILLED, Sandbox, alone};
use events::Requests;
use ledger::{Answer, Fate, Ledger};
use phase::Phase;
use readers::Readers;

const CLIENTS: u64 = 8;
/// Every phase is met more than once, and there are at least fifty kills.
const KILLS: u64 = 60;
/// A round that meets no crash point ends after so many requests a client.
const REQUESTS_MAX: usize = 250;
/// How many rounds a phase has for its kill; after the first its crash point is the next pass.
const TRIES_MAX: u64 = 10;
/// How long a node has to meet its crash point once it has everything; a seed may ask for more
/// passes than there are, then the round does not count.
const PATIENCE: Duration = Duration::from_secs(3);
/// Small segments and frequent commits, so that every moment comes often.
const CHANGES: [(&str, &str); 3] = [
    // An event has to fit into half an append, or the configuration is refused.
    (
        "  topic: events\n",
        "  topic: events\n  event_bytes_max: 256 KiB\n  append_bytes_max: 512 KiB\n",
    ),
    ("commit_interval: 1 s", "commit_interval: 100 ms"),
    (
        "durability: fsync",
        "segment_bytes_max: 1 MiB\n  group_bytes_max: 512 KiB\n  batch_bytes_max: 512 KiB\n  \
         transaction_bytes_max: 1 MiB\n  durability: fsync",
    ),
];

#[test]
fn killed_at_any_moment_every_acknowledged_event_is_stored_exactly_once() {
    let _alone = alone();
    let Some(readers) = Readers::install() else { return };
    let seed = number_from_env("MILLSTREAM_SEED", 20_261_122);
    let kills = number_from_env("MILLSTREAM_KILLS", KILLS);
    println!("seed {seed}, {kills} kills");
    let mut sandbox = Sandbox::with_config(&configuration());
    let ledger = Ledger::default();
    let mut rng = Rng::from_seed(seed);
    let mut histogram: BTreeMap<&str, u64> = BTreeMap::new();

    for kill in 0..kills {
        let phase = Phase::of_kill(kill);
        let mut tries = 0;
        while !kill_once(&mut sandbox, phase, (kill, tries), &mut rng, &ledger) {
            tries += 1;
            assert!(tries < TRIES_MAX, "{} was not met in {tries} rounds", phase.name());
        }
        *histogram.entry(phase.name()).or_default() += 1;
    }

    sandbox.start();
    sandbox.settle();
    let dead_letters = dead_letter_ids(&mut sandbox);
    sandbox.stop();
    let reconciled = sandbox.run(&["reconcile", "--deep"]);
    println!("{}", reconciled.stdout);
    assert_eq!(reconciled.code, 0, "reconcile: {} {}", reconciled.stdout, reconciled.stderr);
    compare(&ledger, &readers, &sandbox.data().join("lake"), &dead_letters);
    report(&histogram);
}

/// Starts the node, posts, and kills it in `phase`; tells whether the kill happened there.
fn kill_once(
    sandbox: &mut Sandbox,
    phase: Phase,
    (kill, tries): (u64, u64),
    rng: &mut Rng,
    ledger: &Ledger,
) -> bool {
    let armed = if tries == 0 { phase.crash_point(rng) } else { phase.next_crash_point() };
    let round = format!("k{kill}t{tries}");
    let Some(node) = sandbox.try_start_with(armed.as_deref()) else {
        // It met its crash point before it was ready: recovery does, and so does a backlog.
        return true;
    };
    let collector = node.collector;
    let seed = rng.next_u64();
    let outside_kill_after = phase.is_outside().then(|| rng.below(150));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let mut requests = Requests::new(format!("{round}c{client}"), seed ^ client);
            scope.spawn(move || {
                client::post_until_dead(collector, &mut requests, REQUESTS_MAX, ledger);
            });
        }
        match outside_kill_after {
            Some(requests) => {
                post_some(collector, &round, seed, requests, ledger);
                sandbox.kill();
                true
            }
            None => match sandbox.wait_for_end(PATIENCE) {
                Some(code) => {
                    assert_eq!(code, KILLED, "the node ended by itself: {}", sandbox.log());
                    true
                }
                None => false,
            },
        }
    })
}

/// Posts a seeded number of requests of its own: the moment of a kill from outside follows the
/// node's own speed, not a clock.
fn post_some(collector: SocketAddr, round: &str, seed: u64, count: u64, ledger: &Ledger) {
    let mut requests = Requests::new(format!("{round}k"), !seed);
    client::post_until_dead(collector, &mut requests, usize::try_from(count).unwrap(), ledger);
}

/// Returns the quickstart's configuration with small segments and frequent commits.
fn configuration() -> String {
    let mut text = QUICKSTART.to_owned();
    for (from, to) in CHANGES {
        assert!(text.contains(from), "the quickstart has no `{from}`");
        text = text.replace(from, to);
    }
    text
}

fn dead_letter_ids(sandbox: &mut Sandbox) -> Vec<String> {
    let answer = sandbox.run(&["dlq", "--limit", "10000", "--format", "json"]);
    assert_eq!(answer.code, 0, "dlq: {}", answer.stderr);
    let letters = answer.stdout.lines().map(|line| {
        let letter: serde_json::Value = serde_json::from_str(line).unwrap();
        let event: serde_json::Value =
            serde_json::from_str(letter["value"].as_str().unwrap()).unwrap();
        event["message_id"].as_str().unwrap().to_owned()
    });
    letters.collect()
}

fn compare(ledger: &Ledger, readers: &Readers, lake: &Path, dead_letters: &[String]) {
    let rows = readers.read(lake, "events");
    let mut faults = Vec::new();
    for (reader, found) in [("PyIceberg", &rows.pyiceberg), ("DuckDB", &rows.duckdb)] {
        let found = ledger.check(Fate::Row, found);
        faults.extend(found.into_iter().map(|fault| format!("{reader}: {fault}")));
    }
    faults.extend(ledger.check(Fate::DeadLetter, dead_letters));
    assert!(
        faults.is_empty(),
        "{} faults, the first: {:#?}",
        faults.len(),
        &faults[..faults.len().min(20)]
    );
    assert_eq!(rows.positions_repeated, 0, "rows that share a (source, partition, offset)");

    let rows_acknowledged = ledger.count(Fate::Row, Answer::Acknowledged);
    let letters_acknowledged = ledger.count(Fate::DeadLetter, Answer::Acknowledged);
    println!(
        "compared {rows_acknowledged} acknowledged good events with {} rows (PyIceberg) and {} (DuckDB), \
         {letters_acknowledged} acknowledged bad ones with {} dead letters; \
         {} events without an answer, {} rejected by the collector",
        rows.pyiceberg.len(),
        rows.duckdb.len(),
        dead_letters.len(),
        ledger.count(Fate::Row, Answer::Unknown) + ledger.count(Fate::DeadLetter, Answer::Unknown),
        ledger.count(Fate::Nowhere, Answer::Rejected),
    );
    assert!(rows_acknowledged >= 1_000, "too few events to prove anything");
    assert!(letters_acknowledged >= 50, "too few bad events to prove anything");
}

fn report(histogram: &BTreeMap<&str, u64>) {
    println!("kills by phase:");
    for (phase, kills) in histogram {
        println!("  {kills:>4}  {phase}");
    }
    for phase in Phase::ALL {
        assert!(histogram.contains_key(phase.name()), "no kill in {}", phase.name());
    }
}

/// Returns a number that the environment may set.
pub(crate) fn number_from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}
