//! Sample events and how they are posted.

pub(crate) mod events;
pub(crate) mod post;
