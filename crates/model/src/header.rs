//! The names of the record headers that Millstream itself writes.

/// The request id of the HTTP request that brought the record, as text.
pub const REQUEST_ID: &str = "ms.request_id";
/// The W3C trace parent of that request, as text.
pub const TRACE_PARENT: &str = "traceparent";
/// Where a dead letter was read: `<topic>/<partition>/<offset>`.
pub const ORIGIN: &str = "ms.origin";
/// The pipeline that rejected a dead letter.
pub const PIPELINE: &str = "ms.pipeline";
/// The step that rejected a dead letter, as `<index>:<kind>`.
pub const STEP: &str = "ms.step";
/// The field a dead letter was rejected for; absent when no single field is at fault.
pub const FIELD: &str = "ms.field";
/// Why a dead letter was rejected, for people.
pub const REASON: &str = "ms.reason";
