//! What an event must be, and one pass over its bytes that proves it.
//!
//! The collector does not build values: it walks the bytes of a body once, checks all that the
//! steps behind it rely on, and picks up the routing key on the way. Faults come in two kinds. One
//! that leaves the structure readable (a duplicate key, a lone surrogate, too deep, too large)
//! rejects its event alone, also in the middle of an array; one that does not ends the walk, and
//! with it the event, its line, or the whole array.

mod events;
mod field_path;
mod keys;
mod reason;
mod scan;
mod walker;

pub use events::{Events, Form, Judged};
pub use field_path::{FieldPath, FieldPathError, SEGMENTS_MAX};
pub use reason::{Fault, Reason};
pub use walker::{Captured, Limits, NUMBER_BYTES_MAX, Routing, Walker};

#[cfg(test)]
mod tests;
