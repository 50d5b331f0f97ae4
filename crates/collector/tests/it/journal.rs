//! The collector on the embedded journal: what was answered is there after opening it again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use millstream_collector::{AlwaysReady, Collector, Settings, Topic};
use millstream_log::journal::{self, Journal};
use millstream_log::{FetchLimits, Log, TopicConfig, TopicKind};
use millstream_model::{TopicName, TopicPartition};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn};

use crate::rig::{Client, PARTITIONS, config};

fn open(dir: &std::path::Path) -> Result<Journal> {
    let settings = journal::Settings {
        dir: dir.to_owned(),
        disk: Arc::new(RealDisk),
        clock: Clock::system(),
        rng: Rng::from_seed(1),
    };
    Ok(Journal::open(journal::Config::default(), settings)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_clients_were_told_is_accepted_is_in_the_journal_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cx = Context::background();
    let name = TopicName::new("events")?;
    let log = open(dir.path())?;
    let topic = TopicConfig { partitions: PARTITIONS, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(&cx, &name, &topic).await?;

    let topic = Topic { name: name.clone(), partitions: PARTITIONS };
    let (clock, readiness) = (Clock::system(), Arc::new(AlwaysReady));
    let settings = Settings { log: Arc::new(log.clone()), topic, clock, readiness };
    let bound = Collector::bind(millstream_collector::Config { workers: 2, ..config() }, settings)?;
    let addr = bound.local_addr();
    let run_cx = cx.clone();
    let mut running =
        spawn(&cx, TaskKind("test.collector"), async move { bound.run(&run_cx).await });

    let mut clients = Vec::new();
    for client in 0..8 {
        clients.push(spawn(&cx, TaskKind("test.client"), async move {
            let mut connection = Client::connect(addr).await?;
            for number in 0..25 {
                let answer = connection
                    .track(&format!(r#"[{{"c":{client},"n":{number},"first":1}},7,{{"c":{client},"n":{number}}}]"#))
                    .await?;
                anyhow::ensure!(answer.json()?["accepted"] == 2, "{answer:?}");
            }
            anyhow::Ok(())
        }));
    }
    for client in &mut clients {
        client.join().await??;
    }
    cx.cancel();
    running.join().await??;
    log.close();
    drop(log);

    let log = open(dir.path())?;
    let mut values = Vec::new();
    for partition in 0..PARTITIONS {
        values.extend(read(&log, &TopicPartition::new(name.clone(), partition)).await?);
    }
    values.sort();
    let mut expected = Vec::new();
    for client in 0..8 {
        for number in 0..25 {
            expected.push(format!(r#"{{"c":{client},"n":{number},"first":1}}"#));
            expected.push(format!(r#"{{"c":{client},"n":{number}}}"#));
        }
    }
    expected.sort();
    assert_eq!(values, expected);
    Ok(())
}

async fn read(log: &Journal, partition: &TopicPartition) -> Result<Vec<String>> {
    let cx = Context::background();
    let bounds = log.bounds(&cx, partition).await?;
    let mut reader = log.reader(&cx, partition, bounds.start).await?;
    let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
    let mut values = Vec::new();
    loop {
        let fetched = reader.fetch(&cx, limits).await?;
        for batch in &fetched.batches {
            for (_, record) in batch.iter() {
                values.push(String::from_utf8(record.value.unwrap_or_default().to_vec())?);
            }
        }
        if fetched.next.offset >= bounds.end.offset {
            return Ok(values);
        }
    }
}
