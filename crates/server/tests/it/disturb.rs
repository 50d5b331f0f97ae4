//! Three workers on a Kafka of the test's own, disturbed again and again while clients post.
//!
//! Workers are killed, leave, and are paused beyond their session so that they come back as
//! zombies; brokers are killed and restarted in between; one disturbance often begins before the last
//! one ends. Then programs that are not ours count: Kafka's own `read_committed` consumer the topics,
//! PyIceberg and DuckDB the table. Each acknowledged event is there exactly once, each one without an
//! answer at most once. Where half of the requests are posted twice, `dedupe` leaves the same rows as
//! on a node that nobody disturbs.
//!
//! `MILLSTREAM_DISTURBANCES` sets how many there are, `MILLSTREAM_SEED` the seed of all that is
//! random. The long run, of which the documents tell, is `MILLSTREAM_DISTURBANCES=500 cargo test
//! -p millstream-server --test it disturbed_at_any_moment_store -- --nocapture`.

mod dice;
mod drained;
mod kind;
mod load;
mod outage;
mod topic;
mod undisturbed;
mod workers;

use std::collections::BTreeMap;

use millstream_runtime::Rng;
use millstream_testkit::kafka::Kafka;
use tokio::time::Instant;

use crate::kill::ledger::{Answer, Fate, Ledger};
use crate::kill::number_from_env;
use crate::kill::readers::{Readers, Rows};
use crate::sandbox::alone;
use dice::Deck;
use kind::Kind;
use load::{Load, Repeats};
use topic::Topics;
use workers::{Workers, pipeline};

/// How many disturbances there are unless the run is told otherwise.
const DISTURBANCES: u64 = 40;
/// And where half of the requests are posted twice: each kind comes.
const DISTURBANCES_REPEATED: u64 = 16;

/// What each reader found.
struct Found {
    clean: Vec<String>,
    dead_letters: Vec<String>,
    rows: Rows,
}

#[test]
fn workers_disturbed_at_any_moment_store_each_acknowledged_event_exactly_once() {
    run(Repeats::Never, number_from_env("MILLSTREAM_DISTURBANCES", DISTURBANCES));
}

#[test]
fn workers_disturbed_at_any_moment_drop_what_was_posted_twice() {
    run(Repeats::Half, number_from_env("MILLSTREAM_DISTURBANCES", DISTURBANCES_REPEATED));
}

/// Lets the workers be disturbed, and compares what was posted with what is there.
fn run(repeats: Repeats, disturbances: u64) {
    let _alone = alone();
    let Some(readers) = Readers::install() else { return };
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let seed = number_from_env("MILLSTREAM_SEED", 20_261_123);
    println!("seed {seed}, {disturbances} disturbances, repeats: {repeats:?}");

    let mut rng = Rng::from_seed(seed);
    let mut workers = Workers::start(&kafka, repeats);
    let load = Load::new(workers.doors(), repeats, rng.next_u64());
    let histogram = disturb(&mut workers, &load, disturbances, &mut rng);
    report(&histogram, workers.crashes());

    let ledger = load.ledger();
    let posted = ledger.count(Fate::Row, Answer::Acknowledged);
    println!("{} of {posted} good events have arrived meanwhile", workers.row_count());
    workers.wait_until_drained(posted);
    let topics = Topics::new(&kafka, workers.brokers());
    let bad = ledger.count(Fate::DeadLetter, Answer::Acknowledged);
    let [clean, dead_letters] =
        topics.message_ids([("events-clean", posted), ("events-dead", bad)]);
    let disturbed = (repeats == Repeats::Half).then(|| workers.rows());
    workers.stop();
    println!("{} transactions that Kafka committed in part were completed", workers.completed());
    let rows = readers.read(workers.lake(), "events");
    compare(ledger, &Found { clean, dead_letters, rows });
    if let Some(disturbed) = disturbed {
        undisturbed::compare(&pipeline(repeats), &load, &disturbed);
    }
}

/// Disturbs the workers while clients post; returns how often each kind of disturbance came.
fn disturb(
    workers: &mut Workers,
    load: &Load,
    disturbances: u64,
    rng: &mut Rng,
) -> BTreeMap<&'static str, u64> {
    let mut histogram = BTreeMap::new();
    let mut deck = Deck::new(Kind::DECK.to_vec());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let _over = load.start(scope);
        for number in 0..disturbances {
            let kind = deck.draw(rng);
            println!("{number:>4}  {:>6.1} s  {}", began.elapsed().as_secs_f64(), kind.name());
            workers.disturb(kind, rng);
            *histogram.entry(kind.name()).or_default() += 1;
        }
        workers.end_disturbances();
    });
    println!("{disturbances} disturbances in {:?}", began.elapsed());
    histogram
}

fn compare(ledger: &Ledger, found: &Found) {
    let Found { clean, dead_letters, rows } = found;
    let places = [
        ("the clean topic", Fate::Row, clean),
        ("PyIceberg", Fate::Row, &rows.pyiceberg),
        ("DuckDB", Fate::Row, &rows.duckdb),
        ("the dead letters", Fate::DeadLetter, dead_letters),
    ];
    let mut faults = Vec::new();
    for (place, fate, ids) in places {
        let found = ledger.check(fate, ids);
        faults.extend(found.into_iter().map(|fault| format!("{place}: {fault}")));
    }
    let acknowledged = |fate| ledger.count(fate, Answer::Acknowledged);
    println!(
        "compared {} acknowledged good events with {} records of the clean topic, {} rows \
         (PyIceberg) and {} (DuckDB), {} acknowledged bad ones with {} dead letters; {} events \
         without an answer; {} faults",
        acknowledged(Fate::Row),
        clean.len(),
        rows.pyiceberg.len(),
        rows.duckdb.len(),
        acknowledged(Fate::DeadLetter),
        dead_letters.len(),
        ledger.count(Fate::Row, Answer::Unknown) + ledger.count(Fate::DeadLetter, Answer::Unknown),
        faults.len(),
    );
    assert!(faults.is_empty(), "the first: {:#?}", &faults[..faults.len().min(20)]);
    assert_eq!(rows.positions_repeated, 0, "rows that share a (source, partition, offset)");
    assert_eq!(clean.len(), rows.pyiceberg.len(), "what is in the clean topic is in the table");
    assert!(acknowledged(Fate::Row) >= 1_000, "too few events to prove anything");
    assert!(acknowledged(Fate::DeadLetter) >= 10, "too few bad events to prove anything");
}

fn report(histogram: &BTreeMap<&str, u64>, crashes: &BTreeMap<&str, u64>) {
    println!("disturbances by kind:");
    for (kind, times) in histogram {
        println!("  {times:>4}  {kind}");
    }
    for (moment, times) in crashes {
        println!("  {times:>4}  of them at {moment}");
    }
    assert!(!crashes.is_empty(), "no worker killed itself at a transaction");
    for kind in Kind::DECK {
        assert!(histogram.contains_key(kind.name()), "no worker or broker was {}", kind.name());
    }
}
