//! The calls into librdkafka that its Rust wrapper lacks: the only place with `unsafe`.
//!
//! Topic ids, leader epochs, offsets with their epochs and headers of foreign producers have no
//! safe interface in the wrapper; and its own admin client leaves the queue of its errors unread, so
//! that nobody learns why it cannot connect. Everything here is synchronous, ends within the given
//! time, and owns what it allocates ([`native::Owned`]).

pub(crate) mod admin;
pub(crate) mod consumer;
pub(crate) mod message;
mod native;
pub(crate) mod partition_list;
mod request;
