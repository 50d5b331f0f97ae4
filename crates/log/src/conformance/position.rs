//! Positions: refused, never rounded, when they do not fit the log they are used on.

use anyhow::{Result, bail, ensure};
use millstream_model::{Incarnation, LogId, LogPosition, Offset, TaskId, TopicId, TopicPartition};

use super::stage::{Stage, at_once, only_position, owner, patiently, source};
use super::{Capability, Property};
use crate::contract::{Opened, Reposition};
use crate::error::{OpenError, PositionRefused, ReaderError, TransactError};
use crate::transaction::{Consumed, Transaction};

pub(super) const PROPERTIES: &[Property] = &[
    Property::new("L2", "a position of another log is refused", &[], |stage| {
        Box::pin(another_log(stage))
    }),
    Property::new("L2", "a position of another topic is refused", &[], |stage| {
        Box::pin(another_topic(stage))
    }),
    Property::new("L2", "a position after another history is refused", &[], |stage| {
        Box::pin(another_history(stage))
    }),
    Property::new("L2", "a position beyond the end is refused", &[], |stage| {
        Box::pin(beyond_the_end(stage))
    }),
    Property::new("L2", "a position before the first readable record is refused", &[], |stage| {
        Box::pin(before_the_start(stage))
    }),
    Property::new(
        "L2",
        "both bounds are positions to read from, also when they meet",
        &[],
        |stage| Box::pin(both_bounds_are_positions(stage)),
    ),
    Property::new("P3", "an input whose position is gone is refused", &[], |stage| {
        Box::pin(a_lost_position(stage))
    }),
    Property::new(
        "P3",
        "a task goes on where a person puts it, also back, and its other positions stay",
        &[],
        |stage| Box::pin(a_repositioned_task(stage)),
    ),
    Property::new("L2", "a task is not put where the log has nothing", &[], |stage| {
        Box::pin(a_misplaced_task(stage))
    }),
    Property::new(
        "P3",
        "where a person put a task stays over a restart",
        &[Capability::Restart],
        |stage| Box::pin(a_repositioned_task_over_a_restart(stage)),
    ),
    Property::new("L2", "positions stay valid over a restart", &[Capability::Restart], |stage| {
        Box::pin(positions_over_a_restart(stage))
    }),
    Property::new(
        "L2",
        "records after a restart have another incarnation",
        &[Capability::Restart, Capability::OpeningsToldApart],
        |stage| Box::pin(incarnations_over_a_restart(stage)),
    ),
    Property::new(
        "L2",
        "a position from after a backup is refused on the restored log, however it grew",
        &[Capability::Backup, Capability::Restart],
        |stage| Box::pin(a_restored_backup(stage)),
    ),
];

/// Tries to read from a position that must be refused.
async fn refusal(stage: &Stage, of: &TopicPartition, from: LogPosition) -> Result<PositionRefused> {
    match stage.log.reader(&stage.cx, of, from).await {
        Err(ReaderError::Position(refused)) => Ok(refused),
        other => bail!("reading {of} from {from:?} got {other:?}"),
    }
}

/// The position after the first of three records.
async fn position(stage: &Stage) -> Result<LogPosition> {
    stage.append(&stage.one(), &["a"]).await?;
    let after = stage.consumed_all(&stage.one()).await?.next;
    stage.append(&stage.one(), &["b", "c"]).await?;
    ensure!(stage.read_from(&stage.one(), after).await?.len() == 2);
    Ok(after)
}

async fn another_log(stage: &mut Stage) -> Result<()> {
    let good = position(stage).await?;
    let log = LogId(uuid::Uuid::from_u128(good.log.0.as_u128() ^ 1));
    let refused = refusal(stage, &stage.one(), LogPosition { log, ..good }).await?;
    ensure!(matches!(refused, PositionRefused::OtherLog { named, .. } if named == log));
    ensure!(good.log == stage.log.admin().log_id());
    Ok(())
}

async fn another_topic(stage: &mut Stage) -> Result<()> {
    let good = position(stage).await?;
    let topic = TopicId(uuid::Uuid::from_u128(good.topic.0.as_u128() ^ 1));
    let refused = refusal(stage, &stage.one(), LogPosition { topic, ..good }).await?;
    ensure!(matches!(refused, PositionRefused::OtherTopic { named, .. } if named == topic));
    let refused = refusal(stage, &stage.letters(), good).await?;
    ensure!(matches!(refused, PositionRefused::OtherTopic { .. }), "{refused}");
    Ok(())
}

async fn another_history(stage: &mut Stage) -> Result<()> {
    let good = position(stage).await?;
    for incarnation in [Incarnation(good.incarnation.0 ^ 1), Incarnation::NONE] {
        let refused = refusal(stage, &stage.one(), LogPosition { incarnation, ..good }).await?;
        ensure!(
            matches!(refused, PositionRefused::OtherHistory { named, .. } if named == incarnation),
            "{refused}"
        );
    }
    Ok(())
}

async fn beyond_the_end(stage: &mut Stage) -> Result<()> {
    let good = position(stage).await?;
    let end = stage.bounds(&stage.one()).await?.end;
    for offset in [end.offset.plus(1), Offset(u64::MAX)] {
        let refused = refusal(stage, &stage.one(), LogPosition { offset, ..good }).await?;
        ensure!(
            matches!(refused, PositionRefused::BeyondEnd { end: named, .. } if named == end.offset),
            "{refused}"
        );
    }
    Ok(())
}

async fn before_the_start(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let old = position(stage).await?;
    let very_old = LogPosition { offset: Offset(0), incarnation: Incarnation::NONE, ..old };
    let end = stage.bounds(&one).await?.end;
    stage.log.admin().trim(&stage.cx, &one, end.offset).await?;
    for from in [old, very_old] {
        let refused = refusal(stage, &one, from).await?;
        ensure!(
            matches!(refused, PositionRefused::BeforeStart { start, .. } if start == end.offset),
            "{refused}"
        );
    }
    stage.log.reader(&stage.cx, &one, end).await?;
    Ok(())
}

async fn both_bounds_are_positions(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    for _ in 0..3 {
        let bounds = stage.bounds(&one).await?;
        for from in [bounds.start, bounds.end] {
            let mut reader = stage.log.reader(&stage.cx, &one, from).await?;
            let mut next = reader.fetch(&stage.cx, at_once()).await?.next;
            while next.offset < bounds.end.offset {
                next = reader.fetch(&stage.cx, at_once()).await?.next;
            }
            ensure!(next == bounds.end, "{next:?} after {from:?}");
        }
        stage.append(&one, &["a", "b"]).await?;
    }
    let end = stage.bounds(&one).await?.end;
    stage.log.admin().trim(&stage.cx, &one, end.offset).await?;
    let bounds = stage.bounds(&one).await?;
    ensure!(bounds.start == end && bounds.end == end, "{bounds:?} after a trim to {end:?}");
    let mut reader = stage.log.reader(&stage.cx, &one, bounds.start).await?;
    stage.append(&one, &["after"]).await?;
    ensure!(reader.fetch(&stage.cx, patiently()).await?.len() == 1);
    Ok(())
}

async fn a_lost_position(stage: &mut Stage) -> Result<()> {
    let input = stage.four(0);
    stage.append(&input, &["a"]).await?;
    let mut opened = stage.open("task", &[]).await?;
    opened.writer.transact(&stage.cx, only_position("a", "1")).await?;
    let wider = owner("task", std::slice::from_ref(&input));
    match stage.log.open(&stage.cx, &wider).await {
        Err(OpenError::Position(PositionRefused::Lost { partition, .. })) => {
            ensure!(partition == input);
            Ok(())
        }
        other => bail!("a task that began and lost a position got {other:?}"),
    }
}

/// Reads three records with a task, and puts it back after the first; returns that place and the
/// writer that was fenced thereby.
async fn put_back(stage: &mut Stage) -> Result<(LogPosition, Opened)> {
    let one = stage.one();
    let first = position(stage).await?;
    let mut opened = stage.open("task", std::slice::from_ref(&one)).await?;
    let consumed = vec![stage.consumed_all(&one).await?];
    let positions = [only_position("kept", "a"), only_position("changed", "b")];
    let positions = positions.into_iter().flat_map(|one| one.positions).collect();
    let transaction = Transaction { consumed, positions, ..Transaction::default() };
    opened.writer.transact(&stage.cx, transaction).await?;
    stage.log.admin().reposition(&stage.cx, &reposition(&one, first)?).await?;
    Ok((first, opened))
}

fn reposition(one: &TopicPartition, next: LogPosition) -> Result<Reposition> {
    Ok(Reposition {
        task: TaskId::new("task")?,
        consumed: vec![Consumed { partition: one.clone(), next }],
        positions: only_position("changed", "c").positions,
    })
}

/// Checks that the task stands where it was put, with one of its positions changed.
async fn check_put_back(stage: &mut Stage, first: LogPosition) -> Result<()> {
    let one = stage.one();
    let opened = stage.open("task", std::slice::from_ref(&one)).await?;
    ensure!(opened.committed.began && opened.committed.consumed[&one] == first);
    let value = |id| opened.committed.positions.get(&source(id)).map(|value| value.to_vec());
    ensure!(value("kept") == Some(b"a".to_vec()) && value("changed") == Some(b"c".to_vec()));
    let mut writer = opened.writer;
    let consumed = vec![stage.consumed_all(&one).await?];
    writer.transact(&stage.cx, Transaction { consumed, ..Transaction::default() }).await?;
    Ok(())
}

async fn a_repositioned_task(stage: &mut Stage) -> Result<()> {
    let (first, mut before) = put_back(stage).await?;
    let late = before.writer.transact(&stage.cx, only_position("kept", "late")).await;
    ensure!(matches!(late, Err(TransactError::Fenced { .. })), "the owner before got {late:?}");
    check_put_back(stage, first).await
}

async fn a_misplaced_task(stage: &mut Stage) -> Result<()> {
    let (first, _) = put_back(stage).await?;
    let one = stage.one();
    let end = stage.bounds(&one).await?.end;
    let beyond = LogPosition { offset: end.offset.plus(1), ..end };
    let topic = LogPosition { topic: TopicId(uuid::Uuid::nil()), ..first };
    for misfit in [beyond, topic] {
        let refused = stage.log.admin().reposition(&stage.cx, &reposition(&one, misfit)?).await;
        ensure!(matches!(refused, Err(OpenError::Position(_))), "{misfit:?} got {refused:?}");
    }
    check_put_back(stage, first).await
}

async fn a_repositioned_task_over_a_restart(stage: &mut Stage) -> Result<()> {
    let (first, before) = put_back(stage).await?;
    drop(before);
    stage.restart().await?;
    check_put_back(stage, first).await
}

async fn positions_over_a_restart(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let middle = position(stage).await?;
    let end = stage.bounds(&one).await?.end;
    stage.restart().await?;
    ensure!(stage.bounds(&one).await?.end == end, "a restart moved the end");
    ensure!(stage.read_from(&one, middle).await?.len() == 2);
    let mut reader = stage.log.reader(&stage.cx, &one, end).await?;
    stage.append(&one, &["d"]).await?;
    let after = reader.fetch(&stage.cx, patiently()).await?.next;
    ensure!(after.incarnation != Incarnation::NONE && end.incarnation != Incarnation::NONE);
    stage.log.reader(&stage.cx, &one, after).await?;
    Ok(())
}

async fn incarnations_over_a_restart(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    position(stage).await?;
    let end = stage.bounds(&one).await?.end;
    stage.restart().await?;
    let mut reader = stage.log.reader(&stage.cx, &one, end).await?;
    stage.append(&one, &["d"]).await?;
    let after = reader.fetch(&stage.cx, patiently()).await?.next;
    ensure!(after.incarnation != end.incarnation, "one incarnation before and after a restart");
    Ok(())
}

async fn a_restored_backup(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    stage.append(&one, &["a"]).await?;
    stage.open("task", std::slice::from_ref(&one)).await?;
    stage.subject.save()?;
    stage.append(&one, &["b"]).await?;
    // A sink keeps this position in its table, outside the log.
    let kept = stage.consumed_all(&one).await?;
    stage.subject.stop().await?;
    stage.subject.restore()?;
    stage.log = stage.subject.start().await?;
    let refused = refusal(stage, &one, kept.next).await?;
    ensure!(matches!(refused, PositionRefused::BeyondEnd { .. }), "{refused}");

    stage.append(&one, &["another b", "and more"]).await?;
    let refused = refusal(stage, &one, kept.next).await?;
    ensure!(matches!(refused, PositionRefused::OtherHistory { .. }), "{refused}");
    // A task of the restored log goes on from what it finds there.
    let mut opened = stage.open("task", std::slice::from_ref(&one)).await?;
    let consumed = vec![stage.consumed_all(&one).await?];
    opened.writer.transact(&stage.cx, Transaction { consumed, ..Transaction::default() }).await?;
    Ok(())
}
