//! The nouns of Millstream: record, topic, partition, offset, position, task, error class.
//!
//! Everything here is a value: no I/O, no clock, no task. A type lives in this crate only when
//! three crates need it; until then it stays beside the code that owns its invariant.
//!
//! Read [`record`] first: records are opaque bytes in the log, and a batch of them has one
//! encoding from the collector's socket to the disk and back to the task that cleans them.

pub mod byte_size;
pub mod error_class;
pub mod header;
pub mod offset;
pub mod partitioner;
pub mod position;
pub mod record;
pub mod task;
pub mod timestamp;
pub mod topic;

pub use byte_size::ByteSize;
pub use error_class::{Classify, ErrorClass};
pub use offset::{Offset, OffsetRange};
pub use position::{Incarnation, LogId, LogPosition, SourceId};
pub use record::{Headers, HeadersBuilder, Record, RecordBatch, RecordBatchBuilder};
pub use task::{Epoch, TaskId};
pub use timestamp::Timestamp;
pub use topic::{PartitionId, TopicId, TopicName, TopicPartition};
