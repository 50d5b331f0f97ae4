//! When everything that was accepted has arrived: asked of the nodes, so that the readers are
//! started once. What they then find is what counts.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// How many partitions the collector's topic has in the quickstart.
const PARTITIONS: usize = 4;

/// Returns whether nothing waits in these workers' spools, nor after them; in the order in which
/// events go, so that none slips past.
pub(crate) fn is_drained(workers: &[Sandbox]) -> bool {
    workers.iter().all(is_spool_empty) && is_log_drained(&workers[0])
}

/// Returns whether nothing waits in a worker's spool.
pub(crate) fn is_spool_empty(sandbox: &Sandbox) -> bool {
    let spool = sandbox.spool_tasks();
    spool.len() == PARTITIONS && spool.iter().all(|task| task["lag"] == 0)
}

/// Spool, processors and sink have a row for each partition.
fn is_log_drained(sandbox: &Sandbox) -> bool {
    let (status, body) = sandbox.get("/api/v1/lag");
    let rows: Value = serde_json::from_str(&body).unwrap_or_default();
    let rows = rows.as_array().cloned().unwrap_or_default();
    status == 200 && rows.len() == 3 * PARTITIONS && rows.iter().all(|row| row["lag"] == 0)
}
