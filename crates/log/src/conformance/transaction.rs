//! Transactions: records, consumed positions and source positions, all or nothing (P2, P3).

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use futures::poll;
use millstream_model::TopicPartition;
use millstream_model::position::SOURCE_POSITION_BYTES_MAX;

use super::stage::{Stage, at_once, batch, only_position, partition, source, transaction};
use super::{Capability, Property};
use crate::contract::{FetchLimits, Opened};
use crate::error::TransactError;
use crate::transaction::{Consumed, Transaction};

pub(super) const PROPERTIES: &[Property] = &[
    Property::new(
        "P2",
        "a transaction holds records of several topics and positions",
        &[],
        |stage| Box::pin(a_transaction_holds_everything(stage)),
    ),
    Property::new(
        "L3",
        "readers do not see a transaction before it is durable",
        &[Capability::Hold],
        |stage| Box::pin(readers_see_only_what_is_durable(stage)),
    ),
    Property::new("P1", "a transaction keeps the order of its own records", &[], |stage| {
        Box::pin(a_transaction_keeps_its_order(stage))
    }),
    Property::new(
        "L2",
        "appends and transactions on their way together to one partition keep their offsets",
        &[Capability::Hold, Capability::Restart],
        |stage| Box::pin(transactions_among_appends(stage)),
    ),
    Property::new("P3", "a later position replaces an earlier one", &[], |stage| {
        Box::pin(later_positions_replace(stage))
    }),
    Property::new("P3", "each input has its own position, and keeps it", &[], |stage| {
        Box::pin(inputs_keep_their_positions(stage))
    }),
    Property::new("P3", "a consumed position is where reading goes on", &[], |stage| {
        Box::pin(a_consumed_position_is_a_position(stage))
    }),
    Property::new("P2", "a transaction without records moves positions", &[], |stage| {
        Box::pin(positions_alone(stage))
    }),
    Property::new("P2", "a transaction of nothing changes nothing", &[], |stage| {
        Box::pin(a_transaction_of_nothing(stage))
    }),
    Property::new("N1", "a position of 4 KiB is taken, a larger one refused", &[], |stage| {
        Box::pin(positions_are_bounded(stage))
    }),
    Property::new("P3", "a position does not move backwards", &[], |stage| {
        Box::pin(positions_do_not_move_backwards(stage))
    }),
    Property::new("P3", "a position of an input the task does not own is refused", &[], |stage| {
        Box::pin(a_foreign_input_is_refused(stage))
    }),
    Property::new("P2", "a transaction for an unknown partition is refused whole", &[], |stage| {
        Box::pin(an_unknown_partition_is_refused(stage))
    }),
    Property::new("N1", "a transaction that is too large is refused whole", &[], |stage| {
        Box::pin(a_large_transaction_is_refused(stage))
    }),
    Property::new("P3", "a task that never consumed opens again at the beginning", &[], |stage| {
        Box::pin(a_task_that_never_consumed(stage))
    }),
];

/// A task with these inputs, opened.
async fn opened(stage: &Stage, inputs: &[TopicPartition]) -> Result<Opened> {
    stage.open("task", inputs).await
}

async fn a_transaction_holds_everything(stage: &mut Stage) -> Result<()> {
    let input = stage.four(0);
    stage.append(&input, &["in"]).await?;
    let mut opened = opened(stage, std::slice::from_ref(&input)).await?;
    let consumed = stage.consumed_all(&input).await?;
    let whole = Transaction {
        records: vec![
            (stage.one(), batch(&["a", "b"])),
            (stage.letters(), batch(&["c"])),
            (stage.four(3), batch(&["d"])),
        ],
        consumed: vec![consumed.clone()],
        positions: vec![(source("file"), Bytes::from_static(b"17"))],
    };
    opened.writer.transact(&stage.cx, whole).await?;
    ensure!(stage.values(&stage.one()).await? == ["a", "b"]);
    ensure!(stage.values(&stage.letters()).await? == ["c"]);
    ensure!(stage.values(&stage.four(3)).await? == ["d"]);
    let committed = stage.committed("task").await?;
    ensure!(committed.began && committed.consumed[&input] == consumed.next, "{committed:?}");
    ensure!(committed.positions[&source("file")].as_ref() == b"17");
    Ok(())
}

async fn readers_see_only_what_is_durable(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut opened = opened(stage, &[]).await?;
    let mut reader = stage.reader(&one).await?;
    let end = stage.bounds(&one).await?.end;
    stage.subject.hold()?;
    let cx = stage.cx.clone();
    let mut transact = Box::pin(opened.writer.transact(&cx, transaction(&one, &["held"])));
    ensure!(poll!(&mut transact).is_pending(), "a transaction committed before it was durable");
    stage.subject.wait_until_held().await?;
    ensure!(poll!(&mut transact).is_pending(), "a transaction committed before it was durable");
    ensure!(reader.fetch(&stage.cx, at_once()).await?.is_empty());
    ensure!(stage.bounds(&one).await?.end == end);
    ensure!(!stage.committed("task").await?.began, "a position moved before it was durable");
    stage.subject.release()?;
    transact.await?;
    ensure!(stage.values(&one).await? == ["held"] && stage.committed("task").await?.began);
    Ok(())
}

async fn a_transaction_keeps_its_order(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[]).await?;
    let (one, other) = (stage.one(), stage.four(1));
    for _ in 0..3 {
        let records = vec![
            (one.clone(), batch(&["a", "b"])),
            (other.clone(), batch(&["x"])),
            (one.clone(), batch(&["c"])),
            (other.clone(), batch(&["y", "z"])),
        ];
        opened
            .writer
            .transact(&stage.cx, Transaction { records, ..Transaction::default() })
            .await?;
    }
    ensure!(stage.values(&one).await? == ["a", "b", "c"].repeat(3));
    ensure!(stage.values(&other).await? == ["x", "y", "z"].repeat(3));
    Ok(())
}

async fn transactions_among_appends(stage: &mut Stage) -> Result<()> {
    let (one, cx) = (stage.one(), stage.cx.clone());
    let (mut first, mut second) =
        (stage.open("first", &[]).await?, stage.open("second", &[]).await?);
    stage.subject.hold()?;
    let mut appends = vec![(stage.log.enqueue(vec![(one.clone(), batch(&["0"]))])?, "0")];
    stage.subject.wait_until_held().await?;
    appends.push((stage.log.enqueue(vec![(one.clone(), batch(&["1"]))])?, "1"));
    let mut left = Box::pin(first.writer.transact(&cx, transaction(&one, &["left"])));
    ensure!(poll!(&mut left).is_pending());
    appends.push((stage.log.enqueue(vec![(one.clone(), batch(&["2"]))])?, "2"));
    let mut right = Box::pin(second.writer.transact(&cx, transaction(&one, &["right"])));
    ensure!(poll!(&mut right).is_pending());
    appends.push((stage.log.enqueue(vec![(one.clone(), batch(&["3"]))])?, "3"));
    stage.subject.release()?;
    let mut told = Vec::new();
    for (append, value) in appends {
        let appended = cx.run(append).await??;
        told.push((Stage::offsets(&appended[0])?.start(), value.to_owned()));
    }
    left.await?;
    right.await?;
    let found = stage.read(&one).await?;
    ensure!(told.iter().all(|told| found.contains(told)), "told {told:?}, found {found:?}");
    let mut values: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
    values.sort_unstable();
    ensure!(values == ["0", "1", "2", "3", "left", "right"], "{values:?}");
    stage.restart().await?;
    ensure!(stage.read(&one).await? == found, "they are others after a restart");
    Ok(())
}

async fn later_positions_replace(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[]).await?;
    let value = |text: &'static str| Bytes::from_static(text.as_bytes());
    let positions =
        vec![(source("a"), value("1")), (source("b"), value("1")), (source("a"), value("2"))];
    opened.writer.transact(&stage.cx, Transaction { positions, ..Transaction::default() }).await?;
    let found = stage.committed("task").await?.positions;
    ensure!(found[&source("a")] == "2" && found[&source("b")] == "1", "{found:?}");
    opened.writer.transact(&stage.cx, only_position("a", "3")).await?;
    let found = stage.committed("task").await?.positions;
    ensure!(found[&source("a")] == "3" && found[&source("b")] == "1", "{found:?}");
    Ok(())
}

async fn inputs_keep_their_positions(stage: &mut Stage) -> Result<()> {
    let inputs = [stage.four(0), stage.four(1)];
    stage.append(&inputs[0], &["a"]).await?;
    stage.append(&inputs[1], &["b", "c"]).await?;
    let mut opened = opened(stage, &inputs).await?;
    let first = stage.consumed_all(&inputs[0]).await?;
    let second = stage.consumed_all(&inputs[1]).await?;
    for consumed in [first.clone(), second.clone()] {
        let only = Transaction { consumed: vec![consumed], ..Transaction::default() };
        opened.writer.transact(&stage.cx, only).await?;
    }
    let found = stage.open("task", &inputs).await?.committed.consumed;
    ensure!(found[&inputs[0]] == first.next && found[&inputs[1]] == second.next, "{found:?}");
    Ok(())
}

async fn a_consumed_position_is_a_position(stage: &mut Stage) -> Result<()> {
    let input = stage.four(0);
    stage.append(&input, &["a", "b", "c"]).await?;
    let mut opened = opened(stage, std::slice::from_ref(&input)).await?;
    let mut reader = stage.reader(&input).await?;
    let limits = FetchLimits { bytes_max: 1, ..at_once() };
    for expected in [&["b", "c"][..], &["c"], &[]] {
        let next = reader.fetch(&stage.cx, limits).await?.next;
        let consumed = vec![Consumed { partition: input.clone(), next }];
        opened
            .writer
            .transact(&stage.cx, Transaction { consumed, ..Transaction::default() })
            .await?;
        let reopened = stage.open("task", std::slice::from_ref(&input)).await?;
        let rest = stage.read_from(&input, reopened.committed.consumed[&input]).await?;
        ensure!(rest.iter().map(|(_, value)| value).eq(expected), "{rest:?}, not {expected:?}");
        opened = reopened;
    }
    Ok(())
}

async fn positions_alone(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[]).await?;
    let end = stage.bounds(&stage.one()).await?.end;
    for value in ["1", "2", "3"] {
        opened.writer.transact(&stage.cx, only_position("a", value)).await?;
        ensure!(stage.committed("task").await?.positions[&source("a")] == value);
    }
    ensure!(stage.bounds(&stage.one()).await?.end == end);
    Ok(())
}

async fn a_transaction_of_nothing(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[]).await?;
    opened.writer.transact(&stage.cx, transaction(&stage.one(), &["a"])).await?;
    let (before, end) = (stage.committed("task").await?, stage.bounds(&stage.one()).await?.end);
    opened.writer.transact(&stage.cx, Transaction::default()).await?;
    ensure!(stage.committed("task").await? == before);
    ensure!(stage.bounds(&stage.one()).await?.end == end);
    Ok(())
}

/// Proves that a refusal changed nothing and that the writer goes on.
async fn refused(
    stage: &Stage,
    opened: &mut Opened,
    refusal: Transaction,
) -> Result<TransactError> {
    let before = stage.committed("task").await?;
    let values = stage.values(&stage.one()).await?;
    let Err(error) = opened.writer.transact(&stage.cx, refusal).await else {
        bail!("the transaction committed");
    };
    ensure!(error.is_refusal(), "{error} is not a refusal");
    ensure!(stage.committed("task").await? == before, "a refused transaction moved a position");
    ensure!(stage.values(&stage.one()).await? == values, "a refused transaction left records");
    opened.writer.transact(&stage.cx, only_position("after", "refusal")).await?;
    Ok(error)
}

async fn positions_are_bounded(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[]).await?;
    let largest = "x".repeat(SOURCE_POSITION_BYTES_MAX);
    opened.writer.transact(&stage.cx, only_position("a", &largest)).await?;
    ensure!(stage.committed("task").await?.positions[&source("a")] == largest);
    let mut over = transaction(&stage.one(), &["a"]);
    over.positions.push((source("a"), Bytes::from(largest + "x")));
    let error = refused(stage, &mut opened, over).await?;
    ensure!(matches!(error, TransactError::Position { .. }), "{error}");
    Ok(())
}

async fn positions_do_not_move_backwards(stage: &mut Stage) -> Result<()> {
    let input = stage.four(0);
    stage.append(&input, &["a", "b"]).await?;
    let start = stage.bounds(&input).await?.start;
    let mut opened = opened(stage, std::slice::from_ref(&input)).await?;
    let consumed = stage.consumed_all(&input).await?;
    let forward = Transaction { consumed: vec![consumed], ..Transaction::default() };
    opened.writer.transact(&stage.cx, forward.clone()).await?;
    opened.writer.transact(&stage.cx, forward).await?;
    let mut backwards = transaction(&stage.one(), &["a"]);
    backwards.consumed.push(Consumed { partition: input, next: start });
    let error = refused(stage, &mut opened, backwards).await?;
    ensure!(matches!(error, TransactError::Position { .. }), "{error}");
    Ok(())
}

async fn a_foreign_input_is_refused(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[stage.four(0)]).await?;
    stage.append(&stage.four(1), &["a"]).await?;
    let mut foreign = transaction(&stage.one(), &["a"]);
    foreign.consumed.push(stage.consumed_all(&stage.four(1)).await?);
    let error = refused(stage, &mut opened, foreign).await?;
    ensure!(matches!(error, TransactError::Position { .. }), "{error}");
    Ok(())
}

async fn an_unknown_partition_is_refused(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[]).await?;
    for unknown in [partition("four", 4), partition("none", 0)] {
        let mut whole = transaction(&stage.one(), &["a"]);
        whole.records.push((unknown.clone(), batch(&["b"])));
        match refused(stage, &mut opened, whole).await? {
            TransactError::UnknownPartition(named) => ensure!(named == unknown),
            other => bail!("a transaction for {unknown} got {other}"),
        }
    }
    Ok(())
}

async fn a_large_transaction_is_refused(stage: &mut Stage) -> Result<()> {
    let mut opened = opened(stage, &[]).await?;
    let bytes_max = stage.subject.limits().transaction_bytes_max;
    let half = "x".repeat(bytes_max / 2);
    let mut over = Transaction::default();
    for to in [stage.one(), stage.four(0), stage.one()] {
        over.records.push((to, batch(&[&half])));
    }
    let error = refused(stage, &mut opened, over).await?;
    ensure!(matches!(error, TransactError::TooLarge { .. }), "{error}");
    let largest = "x".repeat(bytes_max - batch(&[""]).as_bytes().len());
    let records = vec![(stage.one(), batch(&[&largest]))];
    opened.writer.transact(&stage.cx, Transaction { records, ..Transaction::default() }).await?;
    ensure!(stage.values(&stage.one()).await? == [largest]);
    Ok(())
}

async fn a_task_that_never_consumed(stage: &mut Stage) -> Result<()> {
    let input = stage.four(0);
    stage.append(&input, &["a"]).await?;
    let mut opened = opened(stage, std::slice::from_ref(&input)).await?;
    opened.writer.transact(&stage.cx, only_position("a", "1")).await?;
    // It committed, but nothing of its input: the input must not count as lost.
    let reopened = stage.open("task", std::slice::from_ref(&input)).await?;
    let start = stage.bounds(&input).await?.start;
    let from = reopened.committed.consumed.get(&input).copied().unwrap_or(start);
    ensure!(stage.read_from(&input, from).await?.len() == 1);
    Ok(())
}
