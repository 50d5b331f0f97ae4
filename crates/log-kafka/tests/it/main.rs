//! The log on Kafka from outside, on a real broker.

mod assignment;
mod away;
mod broker;
mod conformance;
mod coordinator;
mod damaged;
mod errors;
mod hanging;
mod kept;
mod leaderless;
mod limits;
mod markers;
mod rights;
mod tasks;
mod topics;
mod torn;

/// A runtime for one test.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(future)
}
