//! Durable appends to the journal: many small ones on their way at a time, as from a collector.

use anyhow::{Context as _, Result};
use millstream_runtime::Context;

use super::VolumeArgs;
use crate::events::number_of;
use crate::journal::{Appends, Journal, ensure_topic, fill, read_all};
use crate::meter::{Measured, Meter};
use crate::numbers::Numbers;

pub(crate) async fn run(args: &VolumeArgs) -> Result<Measured> {
    let cx = Context::background();
    let journal = Journal::open(&args.directory.dir).await?;
    let topic = ensure_topic(&cx, &*journal.log, "events").await?;
    let appends = Appends::of_bytes(args.bytes);
    let (events, bytes) = (appends.events(), appends.value_bytes());

    let meter = Meter::start()?;
    fill(&*journal.log, &topic, appends).await?;
    let measured = meter.finish(bytes)?;

    // Opened anew: what is read is what is on disk.
    journal.close().await?;
    let journal = Journal::open(&args.directory.dir).await?;
    let mut numbers = Numbers::default();
    read_all(&cx, &journal.log, &topic, |record| {
        numbers.add(number_of(record.value.context("every record has a value")?)?)
    })
    .await?;
    journal.close().await?;
    numbers.expect_exactly(events)?;
    Ok(Measured { checked: events, ..measured })
}
