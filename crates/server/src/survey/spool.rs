//! Collects the numbers of a collector's spool from its journal alone: Kafka may be away.

use millstream_log::Log;
use millstream_pipeline::counts::Beginning;
use millstream_pipeline::spool::{Position, local_task};
use millstream_runtime::Context;

use super::{SurveyError, before, partitions};
use crate::accounting::SpoolLine;
use crate::flow::{APP, Flow};

/// Draws up what is in the spool: positions first, so that what is appended meanwhile waits.
pub(crate) async fn survey_spool(
    cx: &Context,
    journal: &dyn Log,
    flow: &Flow,
) -> Result<SpoolLine, SurveyError> {
    let mut line = SpoolLine::default();
    for partition in partitions(flow, &flow.collected)? {
        let task = local_task(APP, &partition);
        let committed = journal.committed(cx, &task).await?.unwrap_or_default();
        let position = Position::of_committed(&committed)
            .map_err(|source| SurveyError::Spool { task: task.to_string(), source })?;
        let bounds = journal.bounds(cx, &partition).await?;
        let begin = if committed.began {
            let beginning = Beginning::of_committed(&committed)
                .map_err(|source| SurveyError::Beginning { task: task.to_string(), source })?;
            beginning.of(&partition)
        } else {
            bounds.start.offset
        };
        // Without a position the forwarder goes on with the first record that is there.
        let next = position.as_ref().map_or(bounds.start, |position| position.next).offset;
        line.before += before(journal, begin)?;
        line.forwarded += position.as_ref().map_or(0, |position| position.forwarded);
        line.refused += position.as_ref().map_or(0, |position| position.refused);
        line.accepted += bounds.end.offset.0;
        line.waiting += bounds.end.offset.0.saturating_sub(next.0);
    }
    Ok(line)
}
