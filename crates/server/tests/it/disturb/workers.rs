//! Three workers with all roles, one Kafka and one table between them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_runtime::Rng;
use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::drained::is_drained;
use super::kind::{Kind, MOMENTS};
use super::load::{Doors, Repeats};
use crate::quickstart::{QUICKSTART, changed, kafka_and_lake, rows};
use crate::sandbox::{KILLED, Sandbox, TEMPORARY};

const WORKERS: usize = 3;
/// So many are disturbed at once: the others have their tasks meanwhile.
const DISTURBED_MAX: usize = 2;
/// With one broker alone, Kafka 4.3.1 forgets to end transactions when it restarts: its coordinator
/// takes partitions that have no leader yet for deleted ("can be skipped"), and their transactions
/// stay open for ever. Of three, one is killed at a time, and every partition keeps a leader.
const BROKERS: u16 = 3;
/// After so long without a sign of life a worker's tasks go to others.
const SESSION: Duration = Duration::from_secs(3);
/// Kafka ends a transaction after twice our limit: 5 s.
const LIMITS: &str =
    "  session_time_max: 3 s\n  transaction_time_max: 2500 ms\n  request_time_max: 5 s";
/// How long a worker is paused at least, and how much longer at most. Its tasks are elsewhere by
/// then; its open transactions are ended by their new owners, or by their time-out.
const PAUSE: (Duration, u64) = (Duration::from_millis(3_500), 4_500);
/// The most milliseconds between two disturbances.
const GAP_MS: u64 = 2_000;
/// How often workers may end with the request to be started again, before one is ready.
const FAILED_STARTS_MAX: usize = 20;
/// How long it may take to catch up in the end; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(240);
/// A worker kills itself when it has passed the moment so often, at most.
const PASSES_MAX: u64 = 12;
/// How long a worker may take to get there: one without tasks never does.
const CRASH_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a worker may take to leave; only a hang takes as long.
const LEAVING_MAX: Duration = Duration::from_secs(120);
/// The exit codes of a worker that was asked to stop: all is done, or a part of it is left to the
/// next start, as it may be where the broker has just come back.
const STOPPED: [i32; 2] = [0, TEMPORARY];

/// What the log of a worker has only where an operator must act.
const ALARMS: [&str; 4] =
    ["class=invalid", "class=corrupt", "class=bug", "topics are not in Kafka any more"];

/// What a worker logs when it completes a transaction that Kafka committed in part.
const COMPLETED: &str = "Kafka committed the last transaction in part only";

/// What drops events that come twice, before anything else is done with them.
const DEDUPE: &str =
    "    steps:\n      - dedupe: { by: message_id, within: 1 h, keys_max: 1000000 }\n";

/// Returns the configuration without its log; where clients repeat themselves, what comes twice is
/// dropped.
pub(crate) fn pipeline(repeats: Repeats) -> String {
    match repeats {
        Repeats::Never => QUICKSTART.to_owned(),
        Repeats::Half => changed("    steps:\n", DEDUPE),
    }
}

/// What ends a disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cure {
    Begin(usize),
    /// Waits until the worker has killed itself at a moment, and starts it again.
    Recover(usize, &'static str),
    /// Waits until the worker has left, and starts it again.
    Join(usize),
    Continue(usize),
    StartBroker,
}

/// Workers that share what they work on.
#[derive(Debug)]
pub(crate) struct Workers {
    // Before the cluster: they end first.
    workers: Vec<Sandbox>,
    cluster: Cluster,
    lake: TempDir,
    doors: Arc<Doors>,
    /// How often in a row a worker could not start.
    failed_starts: usize,
    /// What is disturbed now, and when each of it ends; the next one first.
    disturbed: Vec<(Instant, Cure)>,
    /// How often a worker killed itself, by moment.
    crashes: BTreeMap<&'static str, u64>,
    /// How many transactions the workers completed that Kafka had committed in part.
    completed: usize,
}

impl Workers {
    /// Starts a cluster and the workers on it.
    pub(crate) fn start(kafka: &Kafka, repeats: Repeats) -> Self {
        let config =
            Config { brokers: BROKERS, consumer_session_timeout: SESSION, ..Config::default() };
        let cluster = kafka.start(&config).unwrap();
        let lake = tempfile::tempdir().unwrap();
        let on_kafka = kafka_and_lake(&cluster.bootstrap(), lake.path(), LIMITS);
        let config = format!("{}{on_kafka}", pipeline(repeats));
        let workers = (0..WORKERS).map(|_| Sandbox::with_config(&config)).collect();
        let mut this = Self {
            workers,
            cluster,
            lake,
            doors: Arc::default(),
            failed_starts: 0,
            disturbed: Vec::new(),
            crashes: BTreeMap::new(),
            completed: 0,
        };
        (0..WORKERS).for_each(|worker| this.begin(worker));
        this.end_disturbances();
        this
    }

    /// Returns where the workers' collectors listen.
    pub(crate) fn doors(&self) -> Arc<Doors> {
        Arc::clone(&self.doors)
    }

    /// Returns the addresses of the brokers.
    pub(crate) fn brokers(&self) -> String {
        self.cluster.bootstrap()
    }

    /// Returns the directory of the table.
    pub(crate) fn lake(&self) -> &Path {
        self.lake.path()
    }

    /// Disturbs one worker, a broker, or both, at a seeded moment and for a seeded time, and does
    /// not wait for its end: the next disturbance often comes meanwhile.
    pub(crate) fn disturb(&mut self, kind: Kind, rng: &mut Rng) {
        self.go_on_for(Duration::from_millis(rng.below(GAP_MS)));
        match kind {
            Kind::WorkerKilled => {
                let worker = self.pick(rng);
                self.kill(worker);
                self.until(Cure::Begin(worker), rng.below(2_000));
            }
            Kind::WorkerCrashed => {
                let worker = self.pick(rng);
                let moment = MOMENTS[usize::try_from(rng.below(MOMENTS.len() as u64)).unwrap()];
                let armed = format!("{moment}:{}", 1 + rng.below(PASSES_MAX));
                self.kill(worker);
                match self.workers[worker].launch(Some(&armed)) {
                    Ok(node) => self.doors.set(worker, Some(node.collector)),
                    Err(KILLED) => *self.crashes.entry(moment).or_default() += 1,
                    Err(code) => assert_eq!(code, TEMPORARY, "{}", self.workers[worker].log()),
                }
                self.until(Cure::Recover(worker, moment), rng.below(2_000));
            }
            Kind::WorkerPaused => {
                let worker = self.pick(rng);
                self.workers[worker].signal("STOP");
                let (least, more) = PAUSE;
                let least = u64::try_from(least.as_millis()).unwrap();
                self.until(Cure::Continue(worker), least + rng.below(more));
            }
            Kind::WorkerLeft => {
                let worker = self.pick(rng);
                self.doors.set(worker, None);
                self.workers[worker].signal("TERM");
                self.until(Cure::Join(worker), rng.below(3_000));
            }
            Kind::BrokerKilled => {
                self.kill_broker(rng);
                self.until(Cure::StartBroker, rng.below(3_000));
            }
            Kind::BothKilled => {
                let worker = self.pick(rng);
                self.kill(worker);
                self.kill_broker(rng);
                let time = rng.below(1_000);
                self.until(Cure::StartBroker, time);
                self.until(Cure::Begin(worker), time);
            }
        }
    }

    /// Ends each disturbance at its time.
    pub(crate) fn end_disturbances(&mut self) {
        while !self.disturbed.is_empty() {
            self.end_next();
        }
    }

    /// Waits until so many rows are there and nothing is on its way any more.
    pub(crate) fn wait_until_drained(&self, rows_min: usize) {
        let what = format!("{rows_min} rows and nothing on its way");
        self.workers[0].wait_until(&what, PATIENCE, |sandbox| {
            // The rows last: they are slow to count.
            is_drained(&self.workers) && sandbox.row_count() >= rows_min
        });
    }

    /// Ends the workers in order.
    pub(crate) fn stop(&mut self) {
        for worker in &mut self.workers {
            assert_eq!(worker.stop(), 0, "{}", worker.log());
            self.completed += check_log(worker);
        }
    }

    /// Returns how often a worker killed itself, by moment.
    pub(crate) fn crashes(&self) -> &BTreeMap<&'static str, u64> {
        &self.crashes
    }

    /// Returns how many transactions the workers completed that Kafka had committed in part, once
    /// they are stopped.
    pub(crate) fn completed(&self) -> usize {
        self.completed
    }

    /// Returns how many rows the table has by now.
    pub(crate) fn row_count(&self) -> usize {
        self.workers[0].row_count()
    }

    /// Returns the rows of the table, without what says where each came from.
    pub(crate) fn rows(&self) -> Vec<Value> {
        rows(&self.workers[0])
    }

    /// Picks a worker that is not disturbed now.
    fn pick(&mut self, rng: &mut Rng) -> usize {
        loop {
            let is_free = |worker: &usize| {
                !self.disturbed.iter().any(|(_, cure)| match cure {
                    Cure::Begin(it)
                    | Cure::Recover(it, _)
                    | Cure::Join(it)
                    | Cure::Continue(it) => it == worker,
                    Cure::StartBroker => false,
                })
            };
            let free: Vec<usize> = (0..WORKERS).filter(is_free).collect();
            if free.len() > WORKERS - DISTURBED_MAX {
                return free[usize::try_from(rng.below(free.len() as u64)).unwrap()];
            }
            self.end_next();
        }
    }

    /// Kills a broker when all are there: every partition keeps a leader.
    fn kill_broker(&mut self, rng: &mut Rng) {
        while self.disturbed.iter().any(|(_, cure)| *cure == Cure::StartBroker) {
            self.end_next();
        }
        let broker = usize::try_from(rng.below(u64::from(BROKERS))).unwrap();
        self.cluster.broker(broker).kill().unwrap();
    }

    /// Notes when something is to end that was disturbed just now.
    fn until(&mut self, cure: Cure, milliseconds: u64) {
        let due = Instant::now() + Duration::from_millis(milliseconds);
        let place = self.disturbed.partition_point(|(other, _)| *other <= due);
        self.disturbed.insert(place, (due, cure));
    }

    /// Lets so much time pass, and ends what is to end meanwhile.
    fn go_on_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while self.disturbed.first().is_some_and(|(due, _)| *due <= until) {
            self.end_next();
        }
        stay(until.saturating_duration_since(Instant::now()));
    }

    /// Waits until the next disturbance is to end, and ends it.
    fn end_next(&mut self) {
        let (due, cure) = self.disturbed.remove(0);
        stay(due.saturating_duration_since(Instant::now()));
        match cure {
            Cure::Begin(worker) => self.begin(worker),
            Cure::Recover(worker, moment) => {
                if self.workers[worker].is_started() {
                    self.wait_for_crash(worker, moment);
                }
                self.begin(worker);
            }
            Cure::Join(worker) => {
                let code = self.workers[worker].wait_for_end(LEAVING_MAX);
                let is_stopped = code.is_some_and(|code| STOPPED.contains(&code));
                assert!(
                    is_stopped,
                    "{code:?} after {LEAVING_MAX:?}: {}",
                    self.workers[worker].log()
                );
                self.begin(worker);
            }
            Cure::Continue(worker) => self.workers[worker].signal("CONT"),
            Cure::StartBroker => self.cluster.start().unwrap(),
        }
    }

    fn begin(&mut self, worker: usize) {
        self.completed += check_log(&self.workers[worker]);
        let Some(node) = self.workers[worker].start_unless_temporary() else {
            // Others first: a worker that is paused may be the one that has the catalog's lock.
            self.failed_starts += 1;
            assert!(self.failed_starts < FAILED_STARTS_MAX, "no worker can start");
            return self.until(Cure::Begin(worker), 0);
        };
        self.failed_starts = 0;
        self.doors.set(worker, Some(node.collector));
    }

    /// Waits until a worker has killed itself; one that does not get there is killed from outside.
    fn wait_for_crash(&mut self, worker: usize, moment: &'static str) {
        match self.workers[worker].wait_for_end(CRASH_TIME_MAX) {
            Some(code) => {
                assert_eq!(code, KILLED, "{}", self.workers[worker].log());
                *self.crashes.entry(moment).or_default() += 1;
            }
            None => println!("a worker did not pass {moment}, and was killed from outside"),
        }
        self.doors.set(worker, None);
    }

    fn kill(&mut self, worker: usize) {
        self.doors.set(worker, None);
        self.workers[worker].kill();
    }
}

/// Checks what a worker has logged before the next one writes there: however it is disturbed, it has
/// no reason to tell of lost records or of a position that does not fit. Returns how many
/// transactions it completed.
fn check_log(worker: &Sandbox) -> usize {
    let log = worker.log();
    let alarm = log.lines().find(|line| ALARMS.iter().any(|alarm| line.contains(alarm)));
    assert_eq!(alarm, None, "a false alarm");
    log.lines().filter(|line| line.contains(COMPLETED)).count()
}

#[expect(clippy::disallowed_methods, reason = "how long a disturbance lasts is what is tested")]
pub(crate) fn stay(time: Duration) {
    std::thread::sleep(time);
}
