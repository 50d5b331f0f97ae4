//! Restarts and crashes: what was acknowledged is there, once, and the log goes on (L1, L5).

use anyhow::{Result, ensure};

use super::stage::{Stage, only_position, source, transaction};
use super::{Capability, Property};
use crate::transaction::Transaction;

pub(super) const PROPERTIES: &[Property] = &[
    Property::new(
        "L1",
        "a restart keeps what was acknowledged, at its offsets",
        &[Capability::Restart],
        |stage| Box::pin(a_restart_keeps(stage)),
    ),
    Property::new(
        "L5",
        "a crash keeps what was acknowledged, at its offsets",
        &[Capability::Crash],
        |stage| Box::pin(a_crash_keeps(stage)),
    ),
    Property::new(
        "P3",
        "a restart keeps positions and owners' epochs",
        &[Capability::Restart],
        |stage| Box::pin(positions_are_kept(stage)),
    ),
    Property::new(
        "P3",
        "a crash keeps positions and owners' epochs",
        &[Capability::Crash],
        |stage| Box::pin(positions_survive_a_crash(stage)),
    ),
    Property::new("L2", "offsets go on growing over restarts", &[Capability::Restart], |stage| {
        Box::pin(offsets_go_on(stage))
    }),
    Property::new(
        "P3",
        "a renamed task stays renamed over a restart",
        &[Capability::Restart],
        |stage| Box::pin(a_rename_stays(stage)),
    ),
];

/// How the log ends between two parts of a proof.
#[derive(Clone, Copy)]
enum End {
    InOrder,
    ByPowerCut,
}

async fn start_again(stage: &mut Stage, end: End) -> Result<()> {
    match end {
        End::InOrder => stage.restart().await,
        End::ByPowerCut => stage.crash().await,
    }
}

async fn a_restart_keeps(stage: &mut Stage) -> Result<()> {
    acknowledged_stays(stage, End::InOrder).await
}

async fn a_crash_keeps(stage: &mut Stage) -> Result<()> {
    acknowledged_stays(stage, End::ByPowerCut).await
}

async fn acknowledged_stays(stage: &mut Stage, end: End) -> Result<()> {
    let everywhere = stage.partitions();
    let mut opened = stage.open("task", &[]).await?;
    for round in 0..4 {
        for (number, to) in everywhere.iter().enumerate() {
            let value = format!("{round}.{number}");
            stage.append(to, &[&value, "more"]).await?;
            opened.writer.transact(&stage.cx, transaction(to, &[&value])).await?;
        }
        let mut before = Vec::new();
        for to in &everywhere {
            before.push((stage.read(to).await?, stage.bounds(to).await?));
        }
        start_again(stage, end).await?;
        for (to, (records, bounds)) in everywhere.iter().zip(before) {
            ensure!(stage.read(to).await? == records, "{to} changed");
            ensure!(stage.bounds(to).await? == bounds, "the bounds of {to} changed");
        }
        opened = stage.open("task", &[]).await?;
    }
    Ok(())
}

async fn positions_are_kept(stage: &mut Stage) -> Result<()> {
    positions_stay(stage, End::InOrder).await
}

async fn positions_survive_a_crash(stage: &mut Stage) -> Result<()> {
    positions_stay(stage, End::ByPowerCut).await
}

async fn positions_stay(stage: &mut Stage, end: End) -> Result<()> {
    let input = stage.four(1);
    stage.append(&input, &["a", "b"]).await?;
    let inputs = [input.clone()];
    let mut epoch = stage.open("task", &inputs).await?.epoch;
    for round in 0..4 {
        start_again(stage, end).await?;
        let mut opened = stage.open("task", &inputs).await?;
        ensure!(opened.epoch > epoch, "{:?} after {epoch:?}", opened.epoch);
        epoch = opened.epoch;
        ensure!(opened.committed.began == (round > 0));
        stage.append(&input, &["more"]).await?;
        let consumed = stage.consumed_all(&input).await?;
        let value = round.to_string();
        let whole = Transaction { consumed: vec![consumed], ..only_position("a", &value) };
        opened.writer.transact(&stage.cx, whole).await?;
        let before = stage.committed("task").await?;
        start_again(stage, end).await?;
        ensure!(stage.committed("task").await? == before);
        let opened = stage.open("task", &inputs).await?;
        ensure!(opened.epoch > epoch, "{:?} after {epoch:?}", opened.epoch);
        epoch = opened.epoch;
        ensure!(opened.committed == before && before.positions[&source("a")] == value);
        let rest = stage.read_from(&input, before.consumed[&input]).await?;
        ensure!(rest.is_empty(), "{rest:?} comes again");
    }
    Ok(())
}

async fn offsets_go_on(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut last = None;
    for _ in 0..4 {
        let appended = stage.append(&one, &["a", "b"]).await?;
        let offsets = Stage::offsets(&appended[0])?;
        ensure!(last <= Some(offsets.start()), "{last:?}, then {appended:?}");
        last = Some(offsets.end());
        stage.restart().await?;
        ensure!(Some(stage.bounds(&one).await?.end.offset) >= last);
    }
    Ok(())
}

async fn a_rename_stays(stage: &mut Stage) -> Result<()> {
    let mut old = stage.open("old", &[]).await?;
    old.writer.transact(&stage.cx, only_position("a", "1")).await?;
    let renamed = crate::contract::Owner {
        renamed_from: Some(millstream_model::TaskId::new("old")?),
        ..super::stage::owner("new", &[])
    };
    for _ in 0..2 {
        let opened = stage.log.open(&stage.cx, &renamed).await?;
        ensure!(opened.committed.positions[&source("a")] == "1");
        stage.restart().await?;
    }
    ensure!(stage.committed("new").await?.positions[&source("a")] == "1");
    Ok(())
}
