//! After a crash between the cluster's commit and the journal's: takes over what was forwarded,
//! once the journal has shown that it is its own.

use std::time::Duration;

use millstream_log::{FetchLimits, ReaderError};
use millstream_model::{LogPosition, RecordBatchBuilder};
use millstream_runtime::Context;

use super::session::checksum_of_last;
use super::{Disagreement, Forwarder, Obstacle, Position, Shelf, Trouble};
use crate::failure::Failure;

/// How long one look at the journal may wait; the records were there when the bounds were asked.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

impl Forwarder {
    /// Reads the journal from where it stands to where the cluster does, writes the dead letters
    /// that are due, and registers the cluster's position.
    ///
    /// Refuses a journal in which other records stand there: it is a copy that went its own way.
    pub(super) async fn catch_up(
        &self,
        cx: &Context,
        shelf: &mut Shelf,
        standing: &Position,
        start: LogPosition,
    ) -> Result<(), Trouble> {
        self.check_history(cx, standing).await?;
        let local = |failure| Trouble::Local(failure);
        let until = standing.next.offset;
        let mut next = shelf.next().unwrap_or(start);
        let mut checksum = shelf.registered.as_ref().map_or(0, |position| position.checksum);
        let mut letters = RecordBatchBuilder::new();
        let mut reader = self.reader_at(cx, next).await?;
        while next.offset < until {
            let bytes_max = self.settings.config.batch_bytes();
            let limits = FetchLimits { bytes_max, wait_max: LOOK_TIME_MAX };
            let fetched = reader.fetch(cx, limits).await;
            let fetched = fetched.map_err(|error| local(Failure::of("fetch", &error)))?;
            if fetched.next.offset <= next.offset {
                let obstacle = Obstacle::NoRecord(self.settings.input.clone(), next.offset);
                return Err(local(Failure::of("fetch", &obstacle)));
            }
            for batch in &fetched.batches {
                let count = until.0.saturating_sub(batch.first.0);
                let ours = batch.records.take(u32::try_from(count).unwrap_or(u32::MAX));
                checksum = checksum_of_last(&ours).unwrap_or(checksum);
                for (offset, record) in batch.iter().take(ours.len() as usize) {
                    self.push_letter(offset, record, &standing.refusals, &mut letters);
                }
            }
            next = fetched.next;
        }
        if checksum != standing.checksum {
            return Err(self.other_record(standing));
        }
        let letters = (!letters.is_empty()).then(|| letters.finish());
        shelf.note(standing.clone(), letters, 0);
        self.register(cx, shelf).await
    }

    /// Checks that the journal has, before the cluster's position, a record of the same history.
    async fn check_history(&self, cx: &Context, standing: &Position) -> Result<(), Trouble> {
        let input = &self.settings.input;
        let error = match self.local.reader(cx, input, standing.next).await {
            Ok(_reader) => return Ok(()),
            Err(error) => error,
        };
        let disagreement = match &error {
            ReaderError::Position(refused) => {
                Disagreement::of_refused(refused, standing.next.offset)
            }
            _ => None,
        };
        Err(match disagreement {
            Some(disagreement) => Trouble::Remote(Failure::of("open", &disagreement)),
            None => Trouble::Local(Failure::of("fetch", &error)),
        })
    }

    fn other_record(&self, standing: &Position) -> Trouble {
        let partition = self.settings.input.clone();
        let disagreement = Disagreement::OtherRecord { partition, remote: standing.next.offset };
        Trouble::Remote(Failure::of("open", &disagreement))
    }
}
