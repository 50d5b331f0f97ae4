//! A failure at every disk operation and swap of a workload, then a restart: rows exactly once.

use std::sync::Arc;

use millstream_lake::{IcebergSink, Seams};
use millstream_pipeline::sink::{Sink as _, SinkError};
use millstream_runtime::Context;

use crate::support::disk::RecordingDisk;
use crate::support::{House, config, inputs, offsets, write};

const ROUNDS: u64 = 3;
const ROWS: u64 = 6;
const PARTITIONS: u32 = 2;

/// Opens the sink and stores what is missing of `ROUNDS * ROWS` rows a partition.
async fn work(sink: &mut IcebergSink) -> Result<(), SinkError> {
    let cx = Context::background();
    let opened = sink.open(&cx, &inputs(PARTITIONS)).await?;
    let mut next = offsets(&opened, PARTITIONS);
    while next.iter().any(|next| *next < ROUNDS * ROWS) {
        for (partition, next) in (0..).zip(&mut next) {
            let end = (*next + ROWS).min(ROUNDS * ROWS);
            if *next < end {
                write(sink, partition, *next, end).await?;
                *next = end;
            }
        }
        sink.commit(&cx).await?;
    }
    Ok(())
}

/// Small limits, so that the workload merges manifests and expires snapshots.
fn tight() -> millstream_lake::Config {
    millstream_lake::Config { snapshots_max: 2, manifests_max: 2, ..config() }
}

#[tokio::test]
async fn rows_are_stored_exactly_once_whichever_operation_fails() {
    let mut covered = 0;
    loop {
        let house = House::new();
        let disk = RecordingDisk::default();
        disk.journal.lock().unwrap().succeed = Some(covered);
        let seams = Seams { disk: Arc::new(disk.clone()), clock: house.clock.clone() };
        let outcome = work(&mut house.sink_of(tight(), seams)).await;
        let ran_out = disk.journal.lock().unwrap().succeed == Some(0);

        // The machine is well again: what was stored decides what is still to do.
        work(&mut house.sink_of(tight(), house.seams())).await.unwrap();
        house.assert_rows(ROUNDS * ROWS, u64::from(PARTITIONS)).await;
        if !ran_out {
            outcome.unwrap();
            break;
        }
        covered += 1;
    }
    println!("covered a failure at each of {covered} operations");
    assert!(covered > 50, "{covered}");
}
