//! The log from outside: conformance of every implementation, and the embedded journal on a disk
//! that fails.

mod crash;
mod journal;
mod memory;

/// A runtime for one test.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(future)
}
