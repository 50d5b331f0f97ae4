//! Appends without an owner: durable, whole, in order (L1, L2, L3).

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures::future::{join_all, try_join_all};
use futures::poll;
use millstream_model::{
    HeadersBuilder, Offset, OffsetRange, Record, RecordBatch, RecordBatchBuilder, Timestamp,
};

use super::stage::{Stage, at_once, batch, owner, partition, transaction};
use super::{Capability, Property};
use crate::error::{EnqueueError, OpenError, TransactError};
use crate::transaction::OffsetBatch;

pub(super) const PROPERTIES: &[Property] = &[
    Property::new("L1", "an append that resolved is readable exactly once", &[], |stage| {
        Box::pin(an_append_is_readable_once(stage))
    }),
    Property::new("L2", "an append says the offsets at which its records are read", &[], |stage| {
        Box::pin(an_append_says_its_offsets(stage))
    }),
    Property::new("L2", "records come back byte for byte", &[], |stage| {
        Box::pin(records_come_back(stage))
    }),
    Property::new(
        "L3",
        "readers do not see an append before it is durable",
        &[Capability::Hold],
        |stage| Box::pin(readers_see_only_what_is_durable(stage)),
    ),
    Property::new(
        "L1",
        "an append cut off by a crash does not resolve, and is there whole or not at all",
        &[Capability::Hold, Capability::Crash],
        |stage| Box::pin(a_crash_before_durability(stage)),
    ),
    Property::new(
        "P2",
        "an append over several topics and partitions is atomic",
        &[Capability::AtomicAppend],
        |stage| Box::pin(an_append_is_atomic(stage)),
    ),
    Property::new("P1", "records keep their order within a partition", &[], |stage| {
        Box::pin(records_keep_their_order(stage))
    }),
    Property::new("L1", "a dropped append is not taken back", &[], |stage| {
        Box::pin(a_dropped_append_stays(stage))
    }),
    Property::new("L1", "an append of nothing resolves and adds nothing", &[], |stage| {
        Box::pin(an_append_of_nothing(stage))
    }),
    Property::new("P2", "an append to an unknown partition is refused whole", &[], |stage| {
        Box::pin(an_unknown_partition_is_refused(stage))
    }),
    Property::new("N1", "an append that is too large is refused whole", &[], |stage| {
        Box::pin(a_large_append_is_refused(stage))
    }),
    Property::new(
        "L1",
        "what many producers were acknowledged is there once and in each producer's order",
        &[],
        |stage| Box::pin(many_producers(stage)),
    ),
    Property::new("L1", "closing settles what was accepted", &[Capability::Restart], |stage| {
        Box::pin(closing_settles(stage))
    }),
    Property::new("L1", "a closed log says so", &[], |stage| Box::pin(a_closed_log_says_so(stage))),
    Property::new(
        "L1",
        "one sync makes an append durable whatever it touches",
        &[Capability::OneSync],
        |stage| Box::pin(one_sync_is_enough(stage)),
    ),
];

async fn an_append_is_readable_once(stage: &mut Stage) -> Result<()> {
    for value in ["a", "b", "c"] {
        stage.append(&stage.one(), &[value]).await?;
        let found = stage.values(&stage.one()).await?;
        ensure!(found.iter().filter(|found| *found == value).count() == 1, "{value} in {found:?}");
    }
    ensure!(stage.values(&stage.one()).await? == ["a", "b", "c"]);
    ensure!(stage.values(&stage.letters()).await?.is_empty(), "another topic got records");
    Ok(())
}

async fn an_append_says_its_offsets(stage: &mut Stage) -> Result<()> {
    let (one, other) = (stage.one(), stage.four(2));
    stage.append(&one, &["before"]).await?;
    let records = vec![
        (one.clone(), batch(&["a", "b"])),
        (other.clone(), batch(&["c"])),
        (one.clone(), batch(&["d"])),
    ];
    let appended = stage.cx.run(stage.log.enqueue(records)?).await??;
    let named: Vec<_> = appended.iter().map(|part| part.partition.clone()).collect();
    ensure!(named == [one.clone(), other.clone(), one.clone()], "answers for {named:?}");
    for (part, values) in appended.iter().zip([&["a", "b"][..], &["c"], &["d"]]) {
        let found = stage.read(&part.partition).await?;
        let offsets = Stage::offsets(part)?;
        let within = |offset: &Offset| offsets.start() <= *offset && *offset < offsets.end();
        let found: Vec<_> =
            found.iter().filter(|(at, _)| within(at)).map(|(_, value)| value.as_str()).collect();
        ensure!(found == values, "{} holds {found:?}, not {values:?}", offsets);
    }
    Ok(())
}

async fn records_come_back(stage: &mut Stage) -> Result<()> {
    let headers = HeadersBuilder::new().with("name", b"value").with("empty", b"");
    let large = vec![7; 100_000];
    let keys: [Option<&[u8]>; 5] = [None, Some(b""), Some(b"key"), None, Some(b"key")];
    let values: [Option<&[u8]>; 5] = [None, Some(b""), None, Some(b"\x00\xff"), Some(&large)];
    let mut builder = RecordBatchBuilder::new();
    for (millis, (key, value)) in (-2..).zip(keys.into_iter().zip(values)) {
        let timestamp = Timestamp::from_millis(millis);
        builder.push(Record { timestamp, key, value, headers: headers.as_headers() });
    }
    let sent = builder.finish();
    let append = stage.log.enqueue(vec![(stage.one(), sent.clone())])?;
    stage.cx.run(append).await??;
    let mut reader = stage.reader(&stage.one()).await?;
    let fetched = reader.fetch(&stage.cx, at_once()).await?;
    let found: Vec<_> = fetched.batches.iter().flat_map(|batch| &batch.records).collect();
    ensure!(found.iter().copied().eq(&sent), "sent and read differ: {found:?}");
    Ok(())
}

async fn readers_see_only_what_is_durable(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    stage.append(&one, &["durable"]).await?;
    let end = stage.bounds(&one).await?.end;
    let mut reader = stage.reader(&one).await?;
    stage.subject.hold()?;
    let mut append = stage.log.enqueue(vec![(one.clone(), batch(&["held"]))])?;
    stage.subject.wait_until_held().await?;
    ensure!(poll!(&mut append).is_pending(), "the append resolved before it was durable");
    ensure!(stage.bounds(&one).await?.end == end, "the end moved before the append was durable");
    let fetched = reader.fetch(&stage.cx, at_once()).await?;
    ensure!(fetched.len() == 1, "a reader saw what is not durable");
    stage.subject.release()?;
    stage.cx.run(append).await??;
    ensure!(stage.values(&one).await? == ["durable", "held"]);
    Ok(())
}

async fn a_crash_before_durability(stage: &mut Stage) -> Result<()> {
    stage.append(&stage.one(), &["durable"]).await?;
    stage.subject.hold()?;
    let records = vec![(stage.one(), batch(&["a", "b"])), (stage.four(0), batch(&["c"]))];
    let append = stage.log.enqueue(records)?;
    stage.subject.wait_until_held().await?;
    stage.crash().await?;
    let told = stage.cx.run(append).await?;
    ensure!(told.is_err(), "an append resolved that was never synced");
    let (one, four) = (stage.values(&stage.one()).await?, stage.values(&stage.four(0)).await?);
    let whole = one == ["durable", "a", "b"] && four == ["c"];
    let nothing = one == ["durable"] && four.is_empty();
    ensure!(whole || nothing, "a part survived: {one:?}, {four:?}");
    Ok(())
}

async fn an_append_is_atomic(stage: &mut Stage) -> Result<()> {
    let everywhere = stage.partitions();
    let records: Vec<_> =
        everywhere.iter().map(|name| (name.clone(), batch(&["a", "b"]))).collect();
    let appended = stage.cx.run(stage.log.enqueue(records)?).await??;
    ensure!(appended.len() == everywhere.len());
    for name in &everywhere {
        ensure!(stage.values(name).await? == ["a", "b"], "{name} lacks its records");
    }
    Ok(())
}

async fn records_keep_their_order(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    let mut expected = Vec::new();
    let mut appends = Vec::new();
    for number in 0..50 {
        let values: Vec<String> = (0..3).map(|part| format!("{number}.{part}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let records = vec![
            (one.clone(), batch(&values[..2])),
            (stage.four(number % 4), batch(&["between"])),
            (one.clone(), batch(&values[2..])),
        ];
        appends.push(stage.log.enqueue(records)?);
        expected.extend(values.into_iter().map(str::to_owned));
    }
    stage.cx.run(try_join_all(appends)).await??;
    let found = stage.read(&one).await?;
    ensure!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets do not grow");
    ensure!(found.into_iter().map(|(_, value)| value).eq(expected));
    Ok(())
}

async fn a_dropped_append_stays(stage: &mut Stage) -> Result<()> {
    drop(stage.log.enqueue(vec![(stage.one(), batch(&["dropped"]))])?);
    stage.append(&stage.one(), &["after"]).await?;
    ensure!(stage.values(&stage.one()).await? == ["dropped", "after"]);
    Ok(())
}

async fn an_append_of_nothing(stage: &mut Stage) -> Result<()> {
    stage.append(&stage.one(), &["a"]).await?;
    let end = stage.bounds(&stage.one()).await?.end;
    let appended = stage.cx.run(stage.log.enqueue(Vec::new())?).await??;
    ensure!(appended.is_empty());
    let nothing = vec![(stage.one(), RecordBatch::default())];
    for part in stage.cx.run(stage.log.enqueue(nothing)?).await?? {
        ensure!(part.landed.records() == 0, "nothing got offsets {:?}", part.landed);
    }
    ensure!(stage.bounds(&stage.one()).await?.end == end);
    ensure!(stage.values(&stage.one()).await? == ["a"]);
    Ok(())
}

async fn an_unknown_partition_is_refused(stage: &mut Stage) -> Result<()> {
    for unknown in [partition("four", 4), partition("none", 0)] {
        let records = vec![(stage.one(), batch(&["a"])), (unknown.clone(), batch(&["b"]))];
        match stage.log.enqueue(records) {
            Err(EnqueueError::UnknownPartition(named)) => ensure!(named == unknown),
            other => anyhow::bail!("an append to {unknown} got {other:?}"),
        }
    }
    stage.append(&stage.one(), &["after"]).await?;
    ensure!(stage.values(&stage.one()).await? == ["after"], "a part was appended");
    Ok(())
}

async fn a_large_append_is_refused(stage: &mut Stage) -> Result<()> {
    let bytes_max = stage.subject.limits().append_bytes_max;
    let half = "x".repeat(bytes_max / 2);
    let records = vec![
        (stage.one(), batch(&[&half])),
        (stage.four(0), batch(&[&half])),
        (stage.one(), batch(&["over"])),
    ];
    match stage.log.enqueue(records) {
        Err(EnqueueError::TooLarge { bytes, .. }) => ensure!(bytes > bytes_max),
        other => anyhow::bail!("a large append got {other:?}"),
    }
    let largest = "x".repeat(bytes_max - batch(&[""]).as_bytes().len());
    stage.append(&stage.one(), &[&largest]).await?;
    ensure!(stage.values(&stage.one()).await? == [largest], "what fits is not there alone");
    Ok(())
}

async fn many_producers(stage: &mut Stage) -> Result<()> {
    const PRODUCERS: u32 = 8;
    const APPENDS: u32 = 40;
    let shared: &Stage = stage;
    let produce = |producer: u32| async move {
        for number in 0..APPENDS {
            let (first, second) =
                (format!("{producer}:{number}:0"), format!("{producer}:{number}:1"));
            let to = shared.four((producer + number) % 3);
            shared.append(&to, &[&first, &second]).await?;
        }
        Ok::<(), anyhow::Error>(())
    };
    for produced in join_all((0..PRODUCERS).map(produce)).await {
        produced?;
    }
    let mut seen = BTreeMap::new();
    for number in 0..4 {
        let mut last = BTreeMap::new();
        for value in stage.values(&stage.four(number)).await? {
            let parts: Vec<u32> = value.split(':').map(str::parse).collect::<Result<_, _>>()?;
            let (producer, order) = (parts[0], (parts[1], parts[2]));
            let before = last.insert(producer, order);
            ensure!(before < Some(order), "producer {producer}: {order:?} after {before:?}");
            *seen.entry(value).or_insert(0) += 1;
        }
    }
    ensure!(seen.len() == (PRODUCERS * APPENDS * 2) as usize, "{} records are there", seen.len());
    ensure!(seen.values().all(|count| *count == 1), "a record is there twice");
    Ok(())
}

async fn closing_settles(stage: &mut Stage) -> Result<()> {
    let mut appends = Vec::new();
    for number in 0..20 {
        appends.push(stage.log.enqueue(vec![(stage.four(number % 4), batch(&["accepted"]))])?);
    }
    stage.restart().await?;
    for append in appends {
        let appended = stage.cx.run(append).await??;
        ensure!(appended[0].landed.records() == 1);
    }
    for number in 0..4 {
        ensure!(stage.values(&stage.four(number)).await?.len() == 5);
    }
    Ok(())
}

async fn a_closed_log_says_so(stage: &mut Stage) -> Result<()> {
    let mut opened = stage.open("task", &[]).await?;
    stage.subject.stop().await?;
    let refused = stage.log.enqueue(vec![(stage.one(), batch(&["a"]))]);
    ensure!(matches!(refused, Err(EnqueueError::Closed)), "enqueue got {refused:?}");
    let refused = stage.log.open(&stage.cx, &owner("task", &[])).await;
    ensure!(matches!(refused, Err(OpenError::Closed)), "open got {refused:?}");
    let refused = opened.writer.transact(&stage.cx, transaction(&stage.one(), &["a"])).await;
    ensure!(matches!(refused, Err(TransactError::Closed)), "transact got {refused:?}");
    stage.log = stage.subject.start().await?;
    Ok(())
}

async fn one_sync_is_enough(stage: &mut Stage) -> Result<()> {
    stage.append(&stage.one(), &["first"]).await?;
    let before = stage.subject.syncs()?;
    let everywhere = stage.partitions();
    let records: Vec<_> = everywhere.iter().map(|name| (name.clone(), batch(&["a"]))).collect();
    let appended = stage.cx.run(stage.log.enqueue(records)?).await??;
    let syncs = stage.subject.syncs()? - before;
    ensure!(syncs == 1, "{syncs} syncs for {} partitions", everywhere.len());
    let offsets =
        |batches: &[OffsetBatch]| batches.iter().map(|b| OffsetRange::new(b.first, b.end())).last();
    let mut reader = stage.reader(&stage.one()).await?;
    let fetched = reader.fetch(&stage.cx, at_once()).await?;
    let end = Stage::offsets(&appended[0])?.end();
    ensure!(offsets(&fetched.batches).map(OffsetRange::end) == Some(end));
    Ok(())
}
