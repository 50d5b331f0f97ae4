//! The clients: each posts to one worker, wherever that listens now, and notes what it was told.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Scope;
use std::time::Duration;

use millstream_runtime::Rng;

use crate::kill::client::{post_one, post_until_dead};
use crate::kill::events::Requests;
use crate::kill::ledger::Ledger;

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

/// Clients that post until the bell rings.
#[derive(Debug)]
pub(crate) struct Load {
    doors: Arc<Doors>,
    repeats: Repeats,
    seed: u64,
    bell: Bell,
    ledger: Ledger,
}

impl Load {
    /// Makes clients that go through these doors.
    pub(crate) fn new(doors: Arc<Doors>, repeats: Repeats, seed: u64) -> Self {
        Self { doors, repeats, seed, bell: Bell::default(), ledger: Ledger::default() }
    }

    /// Returns what they know.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Starts them; they end when what this returns is dropped.
    pub(crate) fn start<'s, 'e: 's>(&'s self, scope: &'s Scope<'s, 'e>) -> Ring<'s> {
        for client in 0..self.doors.count() * CLIENTS_PER_WORKER {
            scope.spawn(move || self.run(client));
        }
        self.bell.ring_at_end()
    }

    fn run(&self, client: usize) {
        let seed = self.seed ^ client as u64;
        let mut rng = Rng::from_seed(!seed);
        let mut requests = Requests::new(format!("c{client}"), seed);
        while !self.bell.wait(REST) {
            let Some(door) = self.doors.get(client / CLIENTS_PER_WORKER) else { continue };
            let most = 1 + rng.below(BURST_MAX);
            match self.repeats {
                Repeats::Never => {
                    post_until_dead(
                        door,
                        &mut requests,
                        usize::try_from(most).unwrap(),
                        &self.ledger,
                    );
                }
                Repeats::Half => {
                    (0..most).for_each(|_| self.post_or_repeat(door, &mut requests, &mut rng));
                }
            }
        }
    }

    fn post_or_repeat(&self, door: SocketAddr, requests: &mut Requests, rng: &mut Rng) {
        let request = requests.next();
        let mut answers = post_one(door, &request);
        if rng.chance(1, 2) {
            let other = usize::try_from(rng.below(self.doors.count() as u64)).unwrap();
            let again = post_one(self.doors.get(other).unwrap_or(door), &request);
            // Taken once is taken; the answers are in that order.
            answers =
                answers.into_iter().zip(again).map(|(first, second)| first.min(second)).collect();
        }
        let events = request.events.into_iter().zip(answers);
        self.ledger.enter(events.map(|((id, fate), answer)| (id, fate, answer)).collect());
    }
}
