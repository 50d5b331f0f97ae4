//! What a broker's disk has damaged is told, and never skipped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use millstream_log::conformance::batch;
use millstream_log::{FetchError, FetchLimits, Log as _};
use millstream_log_kafka::Config;
use millstream_log_kafka::config::Compression;
use millstream_model::{TopicName, TopicPartition};
use millstream_runtime::Context;
use millstream_testkit::kafka::{self, Kafka};

use crate::errors::ONE;
use crate::{block_on, broker};

/// The records, each appended by itself so that it is a batch of Kafka's.
const VALUES: [&str; 3] = ["the first", "the second", "the third"];

/// Changes one byte of a value where a broker stores it; brokers hand out what they have.
fn damage(segment: &Path, value: &str) -> Result<()> {
    let mut bytes = fs::read(segment)?;
    let at = bytes.windows(value.len()).position(|window| window == value.as_bytes());
    let at = at.context("the record is not stored there")?;
    bytes[at] ^= 1;
    // In place: the broker has the file open.
    let file = fs::OpenOptions::new().write(true).open(segment)?;
    Ok(std::os::unix::fs::FileExt::write_all_at(&file, &bytes[at..=at], at as u64)?)
}

#[test]
fn a_batch_that_does_not_match_its_checksum_is_never_skipped() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let mut cluster = kafka.start(&kafka::Config::default())?;
    let config = Config { compression: Compression::None, ..broker::config(&cluster.bootstrap()) };
    block_on(async {
        let cx = Context::background().with_timeout(Duration::from_secs(60));
        let log = broker::connect(&cx, &config).await?;
        let one = TopicPartition::new(TopicName::new("one")?, 0);
        log.admin().ensure_topic(&cx, &one.topic, &ONE).await?;
        for value in VALUES {
            log.enqueue(vec![(one.clone(), batch(&[value]))])?.await?;
        }
        let start = log.bounds(&cx, &one).await?.start;
        let directory = cluster.broker(0).directory().join("data/kafka");
        let partition = directory.join(format!("{}one-0", config.topic_prefix));
        damage(&partition.join("00000000000000000000.log"), VALUES[1])?;

        let mut reader = log.reader(&cx, &one, start).await?;
        let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::from_secs(10) };
        let mut values = Vec::new();
        let refused = loop {
            match reader.fetch(&cx, limits).await {
                Ok(fetched) => {
                    let records = fetched.batches.iter().flat_map(|batch| &batch.records);
                    values.extend(records.filter_map(|record| record.value.map(<[u8]>::to_vec)));
                }
                Err(refused) => break refused,
            }
        };
        ensure!(values == [VALUES[0].as_bytes()], "{} values", values.len());
        let is_storage = matches!(refused, FetchError::Storage(_));
        let told = format!("{:#}", anyhow::Error::new(refused));
        ensure!(is_storage, "{told}");
        ensure!(told.contains("one-0") && told.contains("corrupt"), "{told}");
        let again = reader.fetch(&cx, limits).await;
        ensure!(again.is_err(), "it reads on behind the damage");
        Ok(())
    })
}
