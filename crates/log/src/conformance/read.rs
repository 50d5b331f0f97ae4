//! Reading: in order, from anywhere, waiting and waking, and never moved by a dropped call.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::poll;
use millstream_model::Offset;
use millstream_runtime::Context;

use super::stage::{Stage, at_once, batch, partition, patiently, transaction, values_of};
use super::{Capability, Property};
use crate::contract::FetchLimits;
use crate::error::{PositionRefused, ReaderError};

pub(super) const PROPERTIES: &[Property] = &[
    Property::new("L3", "a fetch at the end waits and wakes with the append", &[], |stage| {
        Box::pin(a_fetch_wakes_with_an_append(stage))
    }),
    Property::new("L3", "a fetch at the end waits and wakes with the transaction", &[], |stage| {
        Box::pin(a_fetch_wakes_with_a_transaction(stage))
    }),
    Property::new(
        "L3",
        "a fetch that waited in vain is empty and says where to go on",
        &[],
        |stage| Box::pin(a_fetch_in_vain(stage)),
    ),
    Property::new("L3", "a dropped fetch moved nothing", &[], |stage| {
        Box::pin(a_dropped_fetch(stage))
    }),
    Property::new("L3", "a waiting fetch ends when its context is cancelled", &[], |stage| {
        Box::pin(a_cancelled_fetch(stage))
    }),
    Property::new("N1", "a fetch brings no more bytes than it may, but one record", &[], |stage| {
        Box::pin(a_fetch_is_bounded(stage))
    }),
    Property::new("L2", "reading goes on from the middle of an append", &[], |stage| {
        Box::pin(reading_from_the_middle(stage))
    }),
    Property::new("L2", "every `next` of a fetch is a position to go on from", &[], |stage| {
        Box::pin(every_next_is_a_position(stage))
    }),
    Property::new("L2", "an offset always holds the record it held", &[], |stage| {
        Box::pin(offsets_are_stable(stage))
    }),
    Property::new("L3", "readers of one partition do not disturb each other", &[], |stage| {
        Box::pin(readers_are_apart(stage))
    }),
    Property::new("P4", "a reader overtaken by a trim is told, not moved", &[], |stage| {
        Box::pin(an_overtaken_reader(stage))
    }),
    Property::new("L2", "an unknown partition cannot be read", &[], |stage| {
        Box::pin(an_unknown_partition(stage))
    }),
    Property::new("L2", "offsets count records", &[Capability::Gapless], |stage| {
        Box::pin(offsets_count_records(stage))
    }),
];

async fn a_fetch_wakes_with_an_append(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut reader = stage.reader(&one).await?;
    let mut fetch = Box::pin(reader.fetch(&stage.cx, patiently()));
    ensure!(poll!(&mut fetch).is_pending(), "a fetch of an empty partition did not wait");
    // An append elsewhere must not end the wait with nothing.
    stage.append(&stage.letters(), &["elsewhere"]).await?;
    let append = stage.append(&one, &["a", "b"]);
    let (fetched, appended) = futures::join!(fetch, append);
    appended?;
    let fetched = fetched?;
    ensure!(!fetched.is_empty(), "a fetch that waits returned nothing");
    ensure!(values_of(&fetched.batches)[0].1 == "a");
    Ok(())
}

async fn a_fetch_wakes_with_a_transaction(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut opened = stage.open("task", &[]).await?;
    let mut reader = stage.reader(&one).await?;
    let mut fetch = Box::pin(reader.fetch(&stage.cx, patiently()));
    ensure!(poll!(&mut fetch).is_pending());
    let transact = opened.writer.transact(&stage.cx, transaction(&one, &["a"]));
    let (fetched, transacted) = futures::join!(fetch, transact);
    transacted?;
    ensure!(values_of(&fetched?.batches)[0].1 == "a");
    Ok(())
}

async fn a_fetch_in_vain(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    for wait_max in [Duration::ZERO, Duration::from_millis(1)] {
        stage.append(&one, &["a"]).await?;
        let end = stage.bounds(&one).await?.end;
        let mut reader = stage.log.reader(&stage.cx, &one, end).await?;
        let limits = FetchLimits { wait_max, ..at_once() };
        let fetched = reader.fetch(&stage.cx, limits).await?;
        ensure!(fetched.is_empty());
        ensure!(fetched.next == end && fetched.end == end.offset, "{fetched:?} at {end:?}");
        stage.append(&one, &["next"]).await?;
        let fetched = reader.fetch(&stage.cx, patiently()).await?;
        ensure!(values_of(&fetched.batches)[0].1 == "next");
    }
    Ok(())
}

async fn a_dropped_fetch(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut reader = stage.reader(&one).await?;
    for number in 0..20 {
        let value = number.to_string();
        let polled = {
            let mut fetch = Box::pin(reader.fetch(&stage.cx, patiently()));
            ensure!(poll!(&mut fetch).is_pending());
            stage.append(&one, &[&value]).await?;
            // Now the call may have something in hand: it is dropped before or after that.
            match number % 2 {
                0 => None,
                _ => match poll!(&mut fetch) {
                    std::task::Poll::Ready(fetched) => Some(fetched?),
                    std::task::Poll::Pending => None,
                },
            }
        };
        let fetched = match polled {
            Some(fetched) => fetched,
            None => reader.fetch(&stage.cx, patiently()).await?,
        };
        let found = values_of(&fetched.batches);
        ensure!(found.len() == 1 && found[0].1 == value, "{found:?}, not {value}");
    }
    Ok(())
}

async fn a_cancelled_fetch(stage: &mut Stage) -> Result<()> {
    let mut reader = stage.reader(&stage.one()).await?;
    let child = stage.cx.child();
    let mut fetch = Box::pin(reader.fetch(&child, patiently()));
    ensure!(poll!(&mut fetch).is_pending());
    child.cancel();
    let ended = fetch.await;
    ensure!(matches!(ended, Err(ReaderError::Cancelled(_))), "{ended:?}");
    stage.append(&stage.one(), &["a"]).await?;
    ensure!(reader.fetch(&stage.cx, patiently()).await?.len() == 1);
    Ok(())
}

async fn a_fetch_is_bounded(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let large = "x".repeat(5000);
    let mut expected = Vec::new();
    for number in 0..30 {
        let value = if number % 7 == 3 { large.clone() } else { format!("small {number}") };
        stage.append(&one, &[&value, "and", "more"]).await?;
        expected.extend([value.as_str(), "and", "more"].map(str::to_owned));
    }
    for bytes_max in [0, 1, 100, 1000, 6000] {
        let mut reader = stage.reader(&one).await?;
        let mut found = Vec::new();
        while found.len() < expected.len() {
            let limits = FetchLimits { bytes_max, wait_max: Duration::ZERO };
            let fetched = reader.fetch(&stage.cx, limits).await?;
            let bytes: usize = fetched.batches.iter().map(|b| b.records.as_bytes().len()).sum();
            ensure!(!fetched.is_empty(), "a fetch of {bytes_max} bytes brought nothing");
            let alone = fetched.len() == 1;
            ensure!(alone || bytes <= bytes_max, "{bytes} bytes for {bytes_max}");
            found.extend(values_of(&fetched.batches).into_iter().map(|(_, value)| value));
        }
        ensure!(found == expected, "with {bytes_max} bytes a time something else came");
    }
    Ok(())
}

async fn reading_from_the_middle(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    stage.append(&one, &["a", "b", "c"]).await?;
    stage.append(&one, &["d", "e"]).await?;
    let all = stage.read(&one).await?;
    let limits = FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };
    let mut walker = stage.reader(&one).await?;
    for index in 1..=all.len() {
        let next = walker.fetch(&stage.cx, limits).await?.next;
        let rest = stage.read_from(&one, next).await?;
        ensure!(rest == all[index..], "from {} on {rest:?} is read", next.offset);
    }
    Ok(())
}

async fn every_next_is_a_position(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut opened = stage.open("task", &[]).await?;
    for value in ["a", "b", "c"] {
        stage.append(&one, &[value]).await?;
        opened.writer.transact(&stage.cx, transaction(&one, &[value])).await?;
    }
    let limits = FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };
    let (mut position, mut found) = (stage.bounds(&one).await?.start, Vec::new());
    let end = stage.bounds(&one).await?.end;
    while position.offset < end.offset {
        let mut reader = stage.log.reader(&stage.cx, &one, position).await?;
        let fetched = reader.fetch(&stage.cx, limits).await?;
        ensure!(fetched.next.offset > position.offset, "no way past {position:?}");
        ensure!(fetched.next.offset <= fetched.end, "next lies beyond the end");
        found.extend(values_of(&fetched.batches).into_iter().map(|(_, value)| value));
        position = fetched.next;
    }
    ensure!(found == ["a", "a", "b", "b", "c", "c"], "{found:?}");
    ensure!(position == end, "the last next {position:?} is not the end {end:?}");
    Ok(())
}

async fn offsets_are_stable(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut before: Vec<(Offset, String)> = Vec::new();
    for number in 0..20 {
        stage.append(&one, &[&number.to_string(), "more"]).await?;
        let now = stage.read(&one).await?;
        ensure!(now.starts_with(&before), "{now:?} does not go on from {before:?}");
        ensure!(now.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets do not grow: {now:?}");
        before = now;
    }
    Ok(())
}

async fn readers_are_apart(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let (mut first, mut second) = (stage.reader(&one).await?, stage.reader(&one).await?);
    stage.append(&one, &["a"]).await?;
    ensure!(first.fetch(&stage.cx, patiently()).await?.len() == 1);
    stage.append(&one, &["b"]).await?;
    let mut found = Vec::new();
    while found.len() < 2 {
        // A reader that reads ahead may have had the first record before there was a second.
        found.extend(values_of(&second.fetch(&stage.cx, patiently()).await?.batches));
    }
    ensure!(found.len() == 2 && found[0].1 == "a" && found[1].1 == "b", "{found:?}");
    ensure!(values_of(&first.fetch(&stage.cx, patiently()).await?.batches)[0].1 == "b");
    Ok(())
}

async fn an_overtaken_reader(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    stage.append(&one, &["a", "b"]).await?;
    let mut reader = stage.reader(&one).await?;
    let (second, _) = stage.read(&one).await?[1];
    stage.log.admin().trim(&stage.cx, &one, second).await?;
    match reader.fetch(&stage.cx, at_once()).await {
        Err(ReaderError::Position(PositionRefused::BeforeStart { start, .. })) => {
            ensure!(start == second);
        }
        other => bail!("a reader before the first readable record got {other:?}"),
    }
    Ok(())
}

async fn an_unknown_partition(stage: &mut Stage) -> Result<()> {
    let start = stage.bounds(&stage.one()).await?.start;
    for unknown in [partition("four", 4), partition("none", 0)] {
        let refused = stage.log.reader(&stage.cx, &unknown, start).await;
        ensure!(matches!(refused, Err(ReaderError::UnknownPartition(_))), "{refused:?}");
        let refused = stage.log.bounds(&stage.cx, &unknown).await;
        ensure!(matches!(refused, Err(ReaderError::UnknownPartition(_))), "{refused:?}");
    }
    let ended = Context::background();
    ended.cancel();
    let refused = stage.log.bounds(&ended, &stage.one()).await;
    // A call that need not wait may answer all the same.
    ensure!(matches!(refused, Ok(_) | Err(ReaderError::Cancelled(_))), "{refused:?}");
    Ok(())
}

async fn offsets_count_records(stage: &mut Stage) -> Result<()> {
    ensure!(stage.log.admin().is_gapless(), "a gapless log must say so");
    let one = stage.one();
    let mut opened = stage.open("task", &[]).await?;
    for number in 0..10 {
        let records =
            vec![(one.clone(), batch(&["a", "b"])), (stage.four(number % 4), batch(&["c"]))];
        stage.cx.run(stage.log.enqueue(records)?).await??;
        opened.writer.transact(&stage.cx, transaction(&one, &["d"])).await?;
        if number % 3 == 0 {
            opened = stage.open("task", &[]).await?;
        }
    }
    let offsets = stage.read(&one).await?.into_iter().map(|(offset, _)| offset.0);
    ensure!(offsets.eq(0..30), "offsets have gaps");
    let bounds = stage.bounds(&one).await?;
    ensure!((bounds.start.offset, bounds.end.offset) == (Offset(0), Offset(30)));
    Ok(())
}
