use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;

use super::*;

/// Ends when it is let, and says so.
struct Slow {
    may_end: Receiver<()>,
    ended: Sender<()>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        assert!(self.may_end.recv().is_err(), "whoever lets it drops the other end");
        self.ended.send(()).expect("the test waits");
    }
}

/// A client that ends when the sender is dropped, and what hears of that.
fn slow() -> (Slow, Sender<()>, Receiver<()>) {
    let (hold, may_end) = channel();
    let (ended, heard) = channel();
    (Slow { may_end, ended }, hold, heard)
}

#[test]
fn clients_wait_behind_one_that_hangs_and_are_counted_until_they_ended() {
    let reaper = Reaper::start().expect("there is a thread");
    let ((one, hold_one, one_ended), (two, hold_two, two_ended)) = (slow(), slow());
    drop(hold_two);
    reaper.end(one);
    reaper.end(two);
    assert_eq!(reaper.waiting.load(Ordering::Relaxed), 2);
    assert!(two_ended.try_recv().is_err(), "it ended before its turn");
    drop(hold_one);
    let waiting = Arc::clone(&reaper.waiting);
    drop(reaper);
    assert!(one_ended.try_recv().is_ok() && two_ended.try_recv().is_ok());
    assert_eq!(waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn a_client_that_hangs_in_its_end_does_not_hold_up_the_end_of_the_log() {
    let reaper = Reaper::with_ending_time_max(Duration::ZERO).expect("there is a thread");
    let (client, hold, ended) = slow();
    reaper.end(client);
    let waiting = Arc::clone(&reaper.waiting);
    drop(reaper);
    assert_eq!(waiting.load(Ordering::Relaxed), 1);
    drop(hold);
    assert!(ended.recv().is_ok(), "it ends all the same");
}
