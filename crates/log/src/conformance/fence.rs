//! Ownership: one owner of a task, decided by `open` alone (P5), and what it finds.

use anyhow::{Result, ensure};
use futures::poll;

use super::stage::{Stage, batch, only_position, owner, partition, source, transaction};
use super::{Capability, Property};
use crate::contract::Owner;
use crate::error::{OpenError, TransactError};
use crate::transaction::Transaction;

pub(super) const PROPERTIES: &[Property] = &[
    Property::new("P3", "a task opened for the first time committed nothing", &[], |stage| {
        Box::pin(a_new_task(stage))
    }),
    Property::new("P5", "an older owner is fenced for good", &[], |stage| {
        Box::pin(an_older_owner_is_fenced(stage))
    }),
    Property::new("P5", "epochs grow with every opening", &[], |stage| {
        Box::pin(epochs_grow(stage))
    }),
    Property::new("P5", "tasks do not fence each other", &[], |stage| {
        Box::pin(tasks_are_apart(stage))
    }),
    Property::new(
        "P5",
        "opening waits until the transaction on its way is settled",
        &[Capability::Hold],
        |stage| Box::pin(opening_waits(stage)),
    ),
    Property::new(
        "P2",
        "a transaction that was given up is there whole or not at all",
        &[],
        |stage| Box::pin(a_given_up_transaction(stage)),
    ),
    Property::new(
        "P2",
        "a writer that gave up a transaction commits nothing more",
        &[Capability::Hold],
        |stage| Box::pin(a_writer_in_doubt(stage)),
    ),
    Property::new("P5", "of two that open at once one can commit", &[], |stage| {
        Box::pin(two_open_at_once(stage))
    }),
    Property::new("P3", "what is committed is seen without owning the task", &[], |stage| {
        Box::pin(committed_without_owning(stage))
    }),
    Property::new("P3", "the first transaction marks that the task began", &[], |stage| {
        Box::pin(the_began_mark(stage))
    }),
    Property::new("P3", "a renamed task goes on where it stood under its old name", &[], |stage| {
        Box::pin(a_renamed_task(stage))
    }),
    Property::new("P3", "an old name changes nothing once the task has its own", &[], |stage| {
        Box::pin(an_old_name_is_not_taken_twice(stage))
    }),
    Property::new("P3", "an unknown input cannot be opened", &[], |stage| {
        Box::pin(an_unknown_input(stage))
    }),
    Property::new("P3", "every opened task is listed", &[], |stage| {
        Box::pin(tasks_are_listed(stage))
    }),
    Property::new(
        "P5",
        "a writer from before a restart commits nothing",
        &[Capability::Restart],
        |stage| Box::pin(a_writer_from_before(stage)),
    ),
];

async fn a_new_task(stage: &mut Stage) -> Result<()> {
    let name = millstream_model::TaskId::new("new")?;
    ensure!(stage.log.committed(&stage.cx, &name).await?.is_none());
    let opened = stage.open("new", &[stage.one()]).await?;
    ensure!(!opened.committed.began && opened.committed.positions.is_empty());
    let start = stage.bounds(&stage.one()).await?.start;
    // An implementation may say where the task begins, or leave it to the bounds.
    ensure!(opened.committed.consumed.values().all(|position| *position == start));
    Ok(())
}

async fn an_older_owner_is_fenced(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut old = stage.open("task", &[]).await?;
    old.writer.transact(&stage.cx, transaction(&one, &["old"])).await?;
    let mut new = stage.open("task", &[]).await?;
    ensure!(new.committed.positions[&source("last")] == "old");
    for _ in 0..2 {
        let fenced = old.writer.transact(&stage.cx, transaction(&one, &["fenced"])).await;
        ensure!(matches!(fenced, Err(TransactError::Fenced { .. })), "{fenced:?}");
        new.writer.transact(&stage.cx, transaction(&one, &["new"])).await?;
    }
    ensure!(stage.values(&one).await? == ["old", "new", "new"], "a fenced owner wrote");
    Ok(())
}

async fn epochs_grow(stage: &mut Stage) -> Result<()> {
    let mut last = None;
    for _ in 0..5 {
        let mut opened = stage.open("task", &[]).await?;
        ensure!(last < Some(opened.epoch), "{:?} after {last:?}", opened.epoch);
        last = Some(opened.epoch);
        opened.writer.transact(&stage.cx, only_position("a", "1")).await?;
    }
    Ok(())
}

async fn tasks_are_apart(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut first = stage.open("first", &[]).await?;
    let mut second = stage.open("second", &[]).await?;
    for _ in 0..3 {
        first.writer.transact(&stage.cx, transaction(&one, &["first"])).await?;
        second.writer.transact(&stage.cx, transaction(&one, &["second"])).await?;
    }
    ensure!(stage.values(&one).await? == ["first", "second"].repeat(3));
    ensure!(stage.committed("first").await?.positions[&source("last")] == "first");
    Ok(())
}

async fn opening_waits(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut old = stage.open("task", &[]).await?;
    stage.subject.hold()?;
    let cx = stage.cx.clone();
    let mut transact = Box::pin(old.writer.transact(&cx, transaction(&one, &["on its way"])));
    ensure!(poll!(&mut transact).is_pending());
    stage.subject.wait_until_held().await?;
    let log = stage.log.clone();
    let newer = owner("task", &[]);
    let mut open = Box::pin(log.open(&cx, &newer));
    ensure!(poll!(&mut open).is_pending(), "open did not wait for the transaction on its way");
    stage.subject.release()?;
    let (transacted, opened) = futures::join!(transact, open);
    let (there, opened) = (stage.values(&one).await?, opened?);
    let found = opened.committed.positions.get(&source("last"));
    ensure!(there.is_empty() == found.is_none(), "records {there:?}, position {found:?}");
    ensure!(transacted.is_err() || there == ["on its way"], "an acknowledged one is gone");
    Ok(())
}

async fn a_given_up_transaction(stage: &mut Stage) -> Result<()> {
    let mut expected = Vec::new();
    for number in 0..20 {
        let value = number.to_string();
        let records = vec![(stage.one(), batch(&[&value])), (stage.letters(), batch(&[&value]))];
        let whole = Transaction { records, ..only_position("last", &value) };
        let mut opened = stage.open("task", &[]).await?;
        {
            let mut transact = Box::pin(opened.writer.transact(&stage.cx, whole));
            for _ in 0..=number % 3 {
                if poll!(&mut transact).is_ready() {
                    break;
                }
            }
        }
        let committed = stage.open("task", &[]).await?.committed;
        let last = committed.positions.get(&source("last"));
        if last.is_some_and(|last| *last == value) {
            expected.push(value);
        }
        let (one, letters) =
            (stage.values(&stage.one()).await?, stage.values(&stage.letters()).await?);
        ensure!(one == expected && letters == expected, "{one:?}, {letters:?}, not {expected:?}");
    }
    Ok(())
}

async fn a_writer_in_doubt(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut opened = stage.open("task", &[]).await?;
    stage.subject.hold()?;
    {
        let cx = stage.cx.child();
        let mut transact = Box::pin(opened.writer.transact(&cx, transaction(&one, &["doubt"])));
        ensure!(poll!(&mut transact).is_pending());
        stage.subject.wait_until_held().await?;
        cx.cancel();
        let ended = transact.await;
        ensure!(matches!(ended, Err(TransactError::Cancelled(_))), "{ended:?}");
    }
    stage.subject.release()?;
    let ended = opened.writer.transact(&stage.cx, transaction(&one, &["more"])).await;
    ensure!(ended.is_err_and(|error| !error.is_refusal()), "a writer in doubt went on");
    let committed = stage.open("task", &[]).await?.committed;
    let values = stage.values(&one).await?;
    ensure!(values.is_empty() || values == ["doubt"], "{values:?}");
    ensure!(values.is_empty() != committed.began);
    Ok(())
}

async fn two_open_at_once(stage: &mut Stage) -> Result<()> {
    for _ in 0..10 {
        let before = stage.values(&stage.one()).await?.len();
        let (first, second) = futures::join!(stage.open("task", &[]), stage.open("task", &[]));
        let mut committed = 0;
        for opened in [first, second] {
            // Whoever was overtaken may be told so already.
            let Ok(mut opened) = opened else { continue };
            match opened.writer.transact(&stage.cx, transaction(&stage.one(), &["a"])).await {
                Ok(()) => committed += 1,
                Err(error) => ensure!(matches!(error, TransactError::Fenced { .. }), "{error}"),
            }
        }
        ensure!(committed == 1, "{committed} owners committed");
        ensure!(stage.values(&stage.one()).await?.len() == before + 1);
    }
    Ok(())
}

async fn committed_without_owning(stage: &mut Stage) -> Result<()> {
    let mut opened = stage.open("task", &[]).await?;
    for value in ["1", "2"] {
        opened.writer.transact(&stage.cx, only_position("a", value)).await?;
        ensure!(stage.committed("task").await?.positions[&source("a")] == value);
    }
    Ok(())
}

async fn the_began_mark(stage: &mut Stage) -> Result<()> {
    for began in [false, false, true] {
        let mut opened = stage.open("task", &[]).await?;
        ensure!(opened.committed.began == began);
        if stage.open("other", &[]).await?.committed.began {
            opened.writer.transact(&stage.cx, only_position("a", "1")).await?;
        }
        let mut other = stage.open("other", &[]).await?;
        other.writer.transact(&stage.cx, only_position("a", "1")).await?;
    }
    Ok(())
}

async fn a_renamed_task(stage: &mut Stage) -> Result<()> {
    let input = stage.four(0);
    stage.append(&input, &["a"]).await?;
    let mut old = stage.open("old", std::slice::from_ref(&input)).await?;
    let consumed = stage.consumed_all(&input).await?;
    let whole = Transaction { consumed: vec![consumed.clone()], ..only_position("a", "1") };
    old.writer.transact(&stage.cx, whole).await?;
    let renamed = Owner {
        renamed_from: Some(millstream_model::TaskId::new("old")?),
        ..owner("new", std::slice::from_ref(&input))
    };
    let mut new = stage.log.open(&stage.cx, &renamed).await?;
    ensure!(new.committed.began && new.committed.consumed[&input] == consumed.next);
    ensure!(new.committed.positions[&source("a")] == "1");
    let fenced = old.writer.transact(&stage.cx, only_position("a", "2")).await;
    ensure!(matches!(fenced, Err(TransactError::Fenced { .. })), "{fenced:?}");
    new.writer.transact(&stage.cx, only_position("a", "3")).await?;
    ensure!(stage.committed("new").await?.positions[&source("a")] == "3");
    Ok(())
}

async fn an_old_name_is_not_taken_twice(stage: &mut Stage) -> Result<()> {
    let mut old = stage.open("old", &[]).await?;
    old.writer.transact(&stage.cx, only_position("a", "old")).await?;
    let mut new = stage.open("new", &[]).await?;
    new.writer.transact(&stage.cx, only_position("a", "new")).await?;
    let renamed =
        Owner { renamed_from: Some(millstream_model::TaskId::new("old")?), ..owner("new", &[]) };
    for _ in 0..2 {
        let opened = stage.log.open(&stage.cx, &renamed).await?;
        ensure!(opened.committed.positions[&source("a")] == "new", "{:?}", opened.committed);
    }
    Ok(())
}

async fn an_unknown_input(stage: &mut Stage) -> Result<()> {
    for unknown in [partition("four", 4), partition("none", 0)] {
        let refused = stage.log.open(&stage.cx, &owner("task", &[unknown])).await;
        ensure!(matches!(refused, Err(OpenError::UnknownPartition(_))), "{refused:?}");
    }
    stage.open("task", &[stage.four(3)]).await?;
    Ok(())
}

async fn tasks_are_listed(stage: &mut Stage) -> Result<()> {
    for task in ["b", "a", "b"] {
        stage.open(task, &[]).await?;
    }
    let mut tasks = stage.log.admin().tasks(&stage.cx).await?;
    tasks.sort();
    ensure!(tasks.iter().map(millstream_model::TaskId::as_str).eq(["a", "b"]), "{tasks:?}");
    Ok(())
}

async fn a_writer_from_before(stage: &mut Stage) -> Result<()> {
    let mut old = stage.open("task", &[]).await?;
    let epoch = old.epoch;
    old.writer.transact(&stage.cx, transaction(&stage.one(), &["a"])).await?;
    stage.restart().await?;
    let ended = old.writer.transact(&stage.cx, transaction(&stage.one(), &["b"])).await;
    ensure!(ended.is_err(), "a writer from before the restart committed");
    let new = stage.open("task", &[]).await?;
    ensure!(new.epoch > epoch, "{:?} after {epoch:?}", new.epoch);
    ensure!(stage.values(&stage.one()).await? == ["a"]);
    Ok(())
}
