//! The clients: each posts to one worker, wherever that listens now, and notes what it was told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Scope;
use std::time::Duration;

use millstream_runtime::Rng;

use crate::kill::client::Connection;
use crate::kill::events::{Request, Requests};
use crate::kill::ledger::{Answer, Ledger};

/// How many clients post to each worker.
const CLIENTS_PER_WORKER: usize = 2;
/// The most requests that a client posts on one connection.
const BURST_MAX: u64 = 8;
/// How long a client rests between two bursts: the load is steady, and leaves room to catch up.
const REST: Duration = Duration::from_millis(150);

/// How often a client posts the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// Once, whatever it is told.
    Never,
    /// Half of them twice, whatever it was told; the second time to any worker.
    Half,
}

/// Where each worker's collector listens; `None` while it is known to be down.
#[derive(Debug, Default)]
pub(crate) struct Doors(Mutex<Vec<Option<SocketAddr>>>);

impl Doors {
    /// Says where a worker's collector listens.
    pub(crate) fn set(&self, worker: usize, door: Option<SocketAddr>) {
        let mut doors = self.0.lock().unwrap();
        let count = doors.len().max(worker + 1);
        doors.resize(count, None);
        doors[worker] = door;
    }

    fn get(&self, worker: usize) -> Option<SocketAddr> {
        self.0.lock().unwrap()[worker]
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Tells the clients when it is over.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    has_rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    /// Waits for so long, or until the bell rings; returns whether it did.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let has_rung = self.has_rung.lock().unwrap();
        let waited = self.ringing.wait_timeout_while(has_rung, time, |has_rung| !*has_rung);
        *waited.unwrap().0
    }

    /// Rings it when it is dropped, also when a check fails meanwhile.
    pub(crate) fn ring_at_end(&self) -> Ring<'_> {
        Ring(self)
    }
}

/// Rings the bell when it is dropped.
#[derive(Debug)]
pub(crate) struct Ring<'b>(&'b Bell);

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        // A client that panicked may have held it; the others must end all the same.
        *self.0.has_rung.lock().unwrap_or_else(|poison| poison.into_inner()) = true;
        self.0.ringing.notify_all();
    }
}

/// What a client posts, and which of it twice: the same seed posts the same.
#[derive(Debug)]
struct Posts {
    requests: Requests,
    repeats: Repeats,
    rng: Rng,
}

impl Posts {
    /// Returns the next request, and how often it is posted.
    fn next(&mut self) -> (Request, u64) {
        let times = match self.repeats {
            Repeats::Never => 1,
            Repeats::Half => 1 + self.rng.below(2),
        };
        (self.requests.next(), times)
    }
}

/// Clients that post until the bell rings.
#[derive(Debug)]
pub(crate) struct Load {
    doors: Arc<Doors>,
    repeats: Repeats,
    seed: u64,
    bell: Bell,
    /// How many requests each client has posted.
    posted: Vec<AtomicU64>,
    ledger: Ledger,
}

impl Load {
    /// Makes clients that go through these doors.
    pub(crate) fn new(doors: Arc<Doors>, repeats: Repeats, seed: u64) -> Self {
        let clients = doors.count() * CLIENTS_PER_WORKER;
        let posted = (0..clients).map(|_| AtomicU64::new(0)).collect();
        Self { doors, repeats, seed, bell: Bell::default(), posted, ledger: Ledger::default() }
    }

    /// Returns what they know.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Starts them; they end when what this returns is dropped.
    pub(crate) fn start<'s, 'e: 's>(&'s self, scope: &'s Scope<'s, 'e>) -> Ring<'s> {
        for client in 0..self.posted.len() {
            scope.spawn(move || self.run(client));
        }
        self.bell.ring_at_end()
    }

    /// Posts the same requests again, as often as they were posted, all through one door; each must
    /// be answered.
    pub(crate) fn post_again(&self, door: SocketAddr) {
        std::thread::scope(|scope| {
            for (client, posted) in self.posted.iter().enumerate() {
                scope.spawn(move || {
                    let mut posts = self.posts(client);
                    let mut connection = Connection::open(door).unwrap();
                    for _ in 0..posted.load(Ordering::Relaxed) {
                        let (request, times) = posts.next();
                        for _ in 0..times {
                            let answers = connection.ask(&request);
                            assert!(!answers.contains(&Answer::Unknown), "{answers:?}");
                        }
                    }
                });
            }
        });
    }

    fn posts(&self, client: usize) -> Posts {
        let seed = self.seed ^ client as u64;
        let requests = Requests::new(format!("c{client}"), seed);
        Posts { requests, repeats: self.repeats, rng: Rng::from_seed(!seed) }
    }

    fn run(&self, client: usize) {
        let mut posts = self.posts(client);
        // Where and when; what is posted does not depend on it.
        let mut rng = Rng::from_seed(self.seed.rotate_left(32) ^ client as u64);
        while !self.bell.wait(REST) {
            let Some(door) = self.doors.get(client / CLIENTS_PER_WORKER) else { continue };
            let Ok(mut connection) = Connection::open(door) else { continue };
            let burst = 1 + rng.below(BURST_MAX);
            // After a request without an answer the connection is of no use.
            (0..burst).all(|_| self.post(client, &mut connection, &mut posts, &mut rng));
        }
    }

    /// Posts the next request as often as it is to be; returns whether the first was answered.
    fn post(
        &self,
        client: usize,
        connection: &mut Connection,
        posts: &mut Posts,
        rng: &mut Rng,
    ) -> bool {
        let (request, times) = posts.next();
        self.posted[client].fetch_add(1, Ordering::Relaxed);
        let mut answers = connection.ask(&request);
        let is_answered = !answers.contains(&Answer::Unknown);
        for _ in 1..times {
            // Whatever was told, and to any worker.
            let any = usize::try_from(rng.below(self.doors.count() as u64)).unwrap();
            let Some(door) = self.doors.get(any) else { continue };
            let Ok(mut connection) = Connection::open(door) else { continue };
            // Taken once is taken; the answers are in that order.
            let both = answers.into_iter().zip(connection.ask(&request));
            answers = both.map(|(before, now)| before.min(now)).collect();
        }
        let events = request.events.into_iter().zip(answers);
        self.ledger.enter(events.map(|((id, fate), answer)| (id, fate, answer)).collect());
        is_answered
    }
}
