//! Three workers with all roles, one Kafka and one table between them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_runtime::Rng;
use millstream_testkit::kafka::{Cluster, Config, Kafka};
use tempfile::TempDir;

use super::drained::is_drained;
use super::kind::Kind;
use super::load::{Doors, Repeats};
use crate::quickstart::{QUICKSTART, changed};
use crate::sandbox::Sandbox;

const WORKERS: usize = 3;
/// With one broker alone, Kafka 4.3.1 forgets to end transactions when it restarts: its coordinator
/// takes partitions that have no leader yet for deleted ("can be skipped"), and their transactions
/// stay open for ever. Of three, one is killed at a time, and every partition keeps a leader.
const BROKERS: u16 = 3;
/// After so long without a sign of life a worker's tasks go to others.
const SESSION_SECONDS: u64 = 4;
/// Kafka ends a transaction after twice our limit: 5 s, so that what a zombie left open is settled
/// while it is paused.
const LIMITS: &str = "session_time_max: 4 s, transaction_time_max: 2500 ms, request_time_max: 5 s";
/// How long it may take to catch up in the end; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(240);
/// The exit codes of a worker that was asked to stop: all is done, or a part of it is left to the
/// next start, as it may be where the broker has just come back.
const STOPPED: [i32; 2] = [0, 75];

/// What drops events that come twice, before anything else is done with them.
const DEDUPE: &str =
    "    steps:\n      - dedupe: { by: message_id, within: 1 h, keys_max: 1000000 }\n";

/// Workers that share what they work on.
#[derive(Debug)]
pub(crate) struct Workers {
    // Before the cluster: they end first.
    workers: Vec<Sandbox>,
    cluster: Cluster,
    lake: TempDir,
    doors: Arc<Doors>,
}

impl Workers {
    /// Starts a cluster and the workers on it; where clients repeat themselves, the workers drop
    /// what comes twice.
    pub(crate) fn start(kafka: &Kafka, repeats: Repeats) -> Self {
        let session = Duration::from_secs(SESSION_SECONDS);
        let config =
            Config { brokers: BROKERS, consumer_session_timeout: session, ..Config::default() };
        let cluster = kafka.start(&config).unwrap();
        let lake = tempfile::tempdir().unwrap();
        let (brokers, path) = (cluster.bootstrap(), lake.path().display());
        let pipeline = match repeats {
            Repeats::Never => QUICKSTART.to_owned(),
            Repeats::Half => changed("    steps:\n", DEDUPE),
        };
        let config = format!(
            "{pipeline}\nkafka: {{ brokers: \"{brokers}\", {LIMITS} }}\n\
             lake: {{ path: \"{path}\" }}\n"
        );
        let workers = (0..WORKERS).map(|_| Sandbox::with_config(&config)).collect();
        let mut this = Self { workers, cluster, lake, doors: Arc::default() };
        (0..WORKERS).for_each(|worker| this.begin(worker));
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

    /// Disturbs one worker, a broker, or both, at a seeded moment and for a seeded time; then all run.
    pub(crate) fn disturb(&mut self, kind: Kind, rng: &mut Rng) {
        let worker = usize::try_from(rng.below(WORKERS as u64)).unwrap();
        let broker = usize::try_from(rng.below(u64::from(BROKERS))).unwrap();
        // Often before the last disturbance is dealt with.
        stay(rng.below(2_000));
        match kind {
            Kind::WorkerKilled => {
                self.kill(worker);
                stay(rng.below(2_000));
                self.begin(worker);
            }
            Kind::WorkerPaused => {
                self.workers[worker].signal("STOP");
                stay(SESSION_SECONDS * 1_000 + 1_000 + rng.below(2_000));
                self.workers[worker].signal("CONT");
            }
            Kind::WorkerLeft => {
                self.doors.set(worker, None);
                let code = self.workers[worker].stop();
                assert!(STOPPED.contains(&code), "{code}: {}", self.workers[worker].log());
                stay(rng.below(1_000));
                self.begin(worker);
            }
            Kind::BrokerKilled => {
                self.cluster.broker(broker).kill().unwrap();
                stay(rng.below(3_000));
                self.cluster.start().unwrap();
            }
            Kind::BothKilled => {
                self.kill(worker);
                self.cluster.broker(broker).kill().unwrap();
                stay(rng.below(1_000));
                self.cluster.start().unwrap();
                self.begin(worker);
            }
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
        }
    }

    fn begin(&mut self, worker: usize) {
        let node = self.workers[worker].start();
        self.doors.set(worker, Some(node.collector));
    }

    fn kill(&mut self, worker: usize) {
        self.doors.set(worker, None);
        self.workers[worker].kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a disturbance lasts is what is tested")]
pub(crate) fn stay(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
