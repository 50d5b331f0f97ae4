//! Kafka itself: a marker that reaches one partition of a transaction decides there for good,
//! whatever its coordinator decides for the others.

use anyhow::{Context as _, Result, bail, ensure};
use millstream_testkit::kafka::{Cluster, OpenTransaction, Outcome};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::tasks::CALL_TIME_MAX;
use crate::{block_on, broker};

/// A topic with two partitions, and a transaction that is open in both.
struct Scene {
    cluster: &'static Cluster,
    client: ClientConfig,
    topic: String,
}

impl Scene {
    fn set(cluster: &'static Cluster) -> Result<Self> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap());
        let topic = format!("{}torn", broker::config(&cluster.bootstrap()).topic_prefix);
        let admin: AdminClient<DefaultClientContext> = client.create()?;
        let (new, options) =
            (NewTopic::new(&topic, 2, TopicReplication::Fixed(1)), AdminOptions::new());
        for created in block_on(admin.create_topics([&new], &options))? {
            created.map_err(|(_, code)| code)?;
        }
        Ok(Self { cluster, client, topic })
    }

    /// A producer of the one transactional id here; an earlier one is fenced.
    fn producer(&self) -> Result<BaseProducer> {
        let mut client = self.client.clone();
        let producer: BaseProducer = client.set("transactional.id", &self.topic).create()?;
        producer.init_transactions(CALL_TIME_MAX)?;
        Ok(producer)
    }

    /// Begins a transaction with one record in each partition.
    fn begin(&self, producer: &BaseProducer, value: &str) -> Result<()> {
        producer.begin_transaction()?;
        for partition in 0..2 {
            let record = BaseRecord::<(), str>::to(&self.topic).partition(partition).payload(value);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(producer.flush(CALL_TIME_MAX)?)
    }

    /// Returns the transaction that is open in one partition.
    fn open_in(&self, partition: i32) -> Result<OpenTransaction> {
        let open = self.cluster.open_transactions(&self.topic)?;
        let found = open.into_iter().find(|open| open.partition == partition);
        found.with_context(|| format!("no transaction is open in {partition}"))
    }

    /// Returns what a reader of committed records finds in a partition, which nothing holds back.
    fn committed(&self, partition: i32) -> Result<Vec<String>> {
        let mut client = self.client.clone();
        client.set("group.id", &self.topic).set("isolation.level", "read_committed");
        let reader: BaseConsumer = client.set("enable.partition.eof", "true").create()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        reader.assign(&asked)?;
        let mut values = Vec::new();
        loop {
            match reader.poll(CALL_TIME_MAX) {
                Some(Ok(record)) => {
                    let value = record.payload().context("a record without a value")?;
                    values.push(String::from_utf8(value.to_vec())?);
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(values),
                Some(Err(error)) => return Err(error.into()),
                None => bail!("no end of partition {partition} after {values:?}"),
            }
        }
    }
}

#[test]
fn a_commit_marker_in_one_partition_stands_where_the_coordinator_aborts_the_rest() -> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    let scene = Scene::set(cluster)?;
    let killed = scene.producer()?;
    for round in ["first", "second"] {
        scene.begin(&killed, round)?;
        ensure!(cluster.open_transactions(&scene.topic)?.len() == 2);
        cluster.end_in_partition(&scene.open_in(1)?, Outcome::Commit)?;
        let open = cluster.open_transactions(&scene.topic)?;
        ensure!(open.iter().map(|open| open.partition).eq([0]), "{open:?}");
        match round {
            "first" => killed.abort_transaction(CALL_TIME_MAX)?,
            _ => drop(scene.producer()?),
        }
    }
    // A whole transaction behind them shows that nothing holds the readers back.
    let next = scene.producer()?;
    scene.begin(&next, "third")?;
    next.commit_transaction(CALL_TIME_MAX)?;
    ensure!(scene.committed(0)? == ["third"], "{:?}", scene.committed(0)?);
    ensure!(scene.committed(1)? == ["first", "second", "third"], "{:?}", scene.committed(1)?);
    Ok(())
}

#[test]
fn an_abort_marker_in_one_partition_stands_where_the_coordinator_commits_the_rest() -> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    let scene = Scene::set(cluster)?;
    let producer = scene.producer()?;
    scene.begin(&producer, "torn")?;
    cluster.end_in_partition(&scene.open_in(0)?, Outcome::Abort)?;
    producer.commit_transaction(CALL_TIME_MAX)?;
    scene.begin(&producer, "whole")?;
    producer.commit_transaction(CALL_TIME_MAX)?;
    ensure!(scene.committed(0)? == ["whole"], "{:?}", scene.committed(0)?);
    ensure!(scene.committed(1)? == ["torn", "whole"], "{:?}", scene.committed(1)?);
    Ok(())
}

#[test]
fn a_marker_of_an_epoch_that_is_over_is_refused() -> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    let scene = Scene::set(cluster)?;
    drop(scene.producer()?);
    let producer = scene.producer()?;
    scene.begin(&producer, "kept")?;
    let open = scene.open_in(0)?;
    let over = OpenTransaction { producer_epoch: open.producer_epoch - 1, ..open.clone() };
    let Err(error) = cluster.end_in_partition(&over, Outcome::Abort) else {
        bail!("the marker of an older owner was taken");
    };
    let error = format!("{error:#}");
    // INVALID_PRODUCER_EPOCH
    ensure!(error.contains("refused with error 47"), "{error}");
    ensure!(scene.open_in(0)? == open);
    producer.commit_transaction(CALL_TIME_MAX)?;
    ensure!(scene.committed(0)? == ["kept"], "{:?}", scene.committed(0)?);
    Ok(())
}
