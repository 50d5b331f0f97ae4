//! What every component runs on: context, named tasks, bounded queues, and the seams for time,
//! randomness and disk.
//!
//! Start with [`Context`]: it is the first parameter of everything that waits. [`task::spawn`] is
//! the only way to start a task. [`Clock`], [`Rng`] and [`Disk`] are the only ways to the wall
//! clock, to randomness and to files of the data path, so that a test (and later a simulator) can
//! own all three. [`crash_point`] marks the places where tests kill the process.

pub mod clock;
pub mod context;
pub mod crash_point;
pub mod disk;
pub mod queue;
pub mod retry;
pub mod rng;
pub mod task;

pub use clock::Clock;
pub use context::{Cancelled, Context, RequestId, TraceParent};
pub use disk::{Disk, DiskFile};
pub use rng::Rng;
pub use task::{TaskHandle, TaskKind, spawn, spawn_blocking};
