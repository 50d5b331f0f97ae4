//! What one transaction holds: one fetch, or several where transactions are slow.

use std::time::Duration;

use millstream_log::{FetchLimits, Fetched};
use millstream_runtime::Context;
use tokio::time::Instant;

use super::Processor;
use super::session::Session;
use crate::attempt::Fetch;
use crate::failure::Failure;

/// How long a fetch waits for the first record: only how often an idle task wakes up.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(1);

impl Processor {
    /// Fetches what the next transaction is to hold; `None` when the task is to stop.
    ///
    /// Once a record is there it goes on for `transaction_interval`, up to the bytes of a batch:
    /// the slower transactions are, the more each of them should hold. Dropping what is gathered
    /// is safe: nothing of it is committed.
    pub(super) async fn gather(
        &self,
        cx: &Context,
        session: &mut Session,
    ) -> Result<Option<Fetched>, Failure> {
        let limits = FetchLimits { bytes_max: self.portion.bytes(), wait_max: FETCH_WAIT_MAX };
        let Some(mut gathered) = self.fetch(cx, session, limits).await? else { return Ok(None) };
        // In trouble a single fetch is what finds the record at fault.
        if gathered.is_empty() || self.portion.is_reduced() {
            return Ok(Some(gathered));
        }
        let until = Instant::now() + self.settings.transaction_interval;
        loop {
            let wait_max = until.saturating_duration_since(Instant::now());
            let bytes_max = limits.bytes_max.saturating_sub(Fetch::of(&gathered).bytes);
            if wait_max.is_zero() || bytes_max == 0 {
                return Ok(Some(gathered));
            }
            let limits = FetchLimits { bytes_max, wait_max };
            let Some(more) = self.fetch(cx, session, limits).await? else { return Ok(None) };
            gathered.batches.extend(more.batches);
            (gathered.next, gathered.end) = (more.next, more.end);
        }
    }

    /// Fetches once; `None` when the task is to stop.
    async fn fetch(
        &self,
        cx: &Context,
        session: &mut Session,
        limits: FetchLimits,
    ) -> Result<Option<Fetched>, Failure> {
        match cx.run(session.reader.fetch(cx, limits)).await {
            Ok(Ok(fetched)) => Ok(Some(fetched)),
            Ok(Err(_)) if cx.is_cancelled() => Ok(None),
            Ok(Err(error)) => Err(Failure::of("fetch", &error)),
            Err(_cancelled) => Ok(None),
        }
    }
}
