//! Partitions whose only broker is away: they are waited for, and never taken for deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use millstream_log::conformance::batch;
use millstream_log::{Log, Owner, ReaderError, TopicConfig, TopicKind, Transaction};
use millstream_log_kafka::{Config, KafkaLog};
use millstream_model::{Classify as _, ErrorClass, TaskId, TopicName, TopicPartition};
use millstream_runtime::Context;
use millstream_testkit::kafka::{self, Kafka};

use crate::tasks::source;
use crate::{block_on, broker};

const PARTITIONS: u32 = 6;

const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);

/// Longer than it takes until what a broker does not know counts as deleted.
const OPEN_TIME_MAX: Duration = Duration::from_secs(8);

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new("single").expect("a legal name"), number)
}

fn owner(number: u32) -> Owner {
    let task = TaskId::new(&format!("app.task.{number}")).expect("a legal id");
    Owner { task, inputs: Vec::new(), renamed_from: None }
}

/// Lets one task for each partition write there, and say so in its position.
async fn write(cx: &Context, log: &KafkaLog) -> Result<()> {
    for number in 0..PARTITIONS {
        let mut opened = log.open(cx, &owner(number)).await?;
        let transaction = Transaction {
            records: vec![(partition(number), batch(&["a"]))],
            positions: vec![(source(), Bytes::from_static(b"1"))],
            consumed: Vec::new(),
        };
        opened.writer.transact(cx, transaction).await?;
    }
    Ok(())
}

/// Asks for the bounds of every partition until some have no leader; returns which.
async fn leaderless(cx: &Context, log: &KafkaLog) -> Result<Vec<u32>> {
    loop {
        let mut found = BTreeMap::new();
        for number in 0..PARTITIONS {
            if let Err(error) = log.bounds(cx, &partition(number)).await {
                found.insert(number, error);
            }
        }
        for (number, error) in &found {
            ensure!(error.class() == ErrorClass::Transient, "partition {number}: {error:?}");
        }
        let said = |error: &ReaderError| format!("{error:?}").contains("NoLeader");
        if !found.is_empty() && found.values().all(said) {
            return Ok(found.into_keys().collect());
        }
    }
}

#[test]
fn what_has_no_leader_is_waited_for_and_not_taken_for_deleted() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    // One of them may go, and the rest is a cluster that can do everything else.
    let properties = [("min.insync.replicas".to_owned(), "1".to_owned())].into();
    let settings = kafka::Config { brokers: 3, properties, ..kafka::Config::default() };
    let mut cluster = kafka.start(&settings)?;
    let config = Config {
        replication_factor: Some(1),
        request_time_max: REQUEST_TIME_MAX,
        positions_partitions: 1,
        brokers: cluster.bootstrap().split(',').map(str::to_owned).collect(),
        ..broker::config("")
    };
    block_on(async {
        let cx = Context::background().with_timeout(Duration::from_secs(240));
        // The positions stay there: only what a task wrote goes away with the broker.
        let replicated = Config { replication_factor: None, ..config.clone() };
        drop(broker::connect(&cx, &replicated).await?.open(&cx, &owner(0)).await?);
        let log = broker::connect(&cx, &config).await?;
        let topic =
            TopicConfig { partitions: PARTITIONS, kind: TopicKind::Events, retention: None };
        log.admin().ensure_topic(&cx, &partition(0).topic, &topic).await?;
        write(&cx, &log).await?;

        cluster.broker(1).kill()?;
        let gone = leaderless(&cx, &log).await.context("ask for the bounds")?;
        for number in &gone {
            let opened = log.open(&cx.with_timeout(OPEN_TIME_MAX), &owner(*number)).await;
            let refused = opened.err().context("nobody can tell whether its records are there")?;
            let is_told = format!("{refused:?}").contains("NoLeader");
            ensure!(is_told && refused.class() == ErrorClass::Transient, "{number}: {refused:?}");
        }

        cluster.broker(1).start()?;
        for number in gone {
            let opened = log.open(&cx, &owner(number)).await.context("its broker is back")?;
            let position = opened.committed.positions.get(&source());
            ensure!(position == Some(&Bytes::from_static(b"1")), "{position:?}");
        }
        Ok(())
    })
}
