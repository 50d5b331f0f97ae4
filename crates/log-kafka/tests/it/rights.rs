//! A user without a permission is told which one to ask for.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::conformance::batch;
use millstream_log::{AdminError, Log as _, OpenError, ReaderError, TopicConfig, TopicKind};
use millstream_log_kafka::config::{Mechanism, Sasl};
use millstream_log_kafka::error::{Reason, Right};
use millstream_log_kafka::{Config, KafkaLog};
use millstream_model::{Classify as _, ErrorClass};
use millstream_runtime::Context;
use millstream_testkit::kafka::{self, Cluster, Kafka, User};

use crate::limits::{kafka_error, make, one, owner};
use crate::{block_on, broker};

/// Far more than any call here may take: who comes to this end hangs.
const HANG_TIME: Duration = Duration::from_secs(180);

/// May do nothing.
const NOBODY: &str = "nobody";
/// May do everything with topics.
const TOPICS: &str = "topics";
/// May do everything with topics and transactional ids.
const IDS: &str = "ids";

/// Starts a broker on which only those may do something who were permitted to.
fn strict(kafka: &Kafka) -> Result<Cluster> {
    let user = |name: &str| User { name: name.to_owned(), password: "right".to_owned() };
    let mut settings = kafka::Config {
        users: [NOBODY, TOPICS, IDS].map(user).to_vec(),
        ..kafka::Config::default()
    };
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    for (key, value) in [("authorizer.class.name", authorizer), ("super.users", "User:ANONYMOUS")] {
        settings.properties.insert(key.to_owned(), value.to_owned());
    }
    let cluster = kafka.start(&settings)?;
    permit(kafka, &cluster, &[TOPICS, IDS], "--topic")?;
    permit(kafka, &cluster, &[IDS], "--transactional-id")?;
    Ok(cluster)
}

fn permit(kafka: &Kafka, cluster: &Cluster, users: &[&str], resource: &str) -> Result<()> {
    let mut tool = kafka.tool("org.apache.kafka.tools.AclCommand");
    tool.args(["--bootstrap-server", &cluster.bootstrap(), "--add", "--operation", "All"]);
    for user in users {
        tool.args(["--allow-principal", &format!("User:{user}")]);
    }
    let output = tool.args([resource, "*"]).output().context("start java")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

async fn connect(cx: &Context, cluster: &Cluster, user: &str) -> Result<KafkaLog> {
    let (username, password) = (user.to_owned(), "right".to_owned());
    let sasl = Some(Sasl { mechanism: Mechanism::ScramSha256, username, password });
    let config = Config { sasl, ..config(&cluster.bootstrap_sasl()) };
    broker::connect(cx, &config).await
}

/// All users share the names.
fn config(bootstrap: &str) -> Config {
    Config { topic_prefix: "t-".to_owned(), ..broker::config(bootstrap) }
}

/// Checks that an error names what has to be granted.
fn check(source: &io::Error, wanted: Right) -> Result<()> {
    let error = kafka_error(source)?;
    match &error.reason {
        Reason::NotPermitted { lacks, .. } => ensure!(*lacks == wanted, "{error}"),
        _ => bail!("not told as a missing permission: {error}"),
    }
    ensure!(error.to_string().contains(&wanted.to_string()), "no remedy: {error}");
    // It may be granted at any time: whoever waits goes on then.
    ensure!(error.class() == ErrorClass::Transient);
    Ok(())
}

#[test]
fn a_missing_permission_is_told_with_what_has_to_be_granted() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let cluster = strict(&kafka)?;
    block_on(async {
        let cx = Context::background().with_timeout(HANG_TIME);
        let some = one("some");
        let all = broker::connect(&cx, &config(&cluster.bootstrap())).await?;
        make(&cx, &all, "some").await?;

        let log = connect(&cx, &cluster, NOBODY).await?;
        match log.bounds(&cx, &some).await {
            Err(ReaderError::Storage(source)) => check(&source, Right::Topics)?,
            other => bail!("bounds of a topic that is not permitted: {other:?}"),
        }
        let wanted = TopicConfig { partitions: 1, kind: TopicKind::Events, retention: None };
        match log.admin().ensure_topic(&cx, &one("new").topic, &wanted).await {
            Err(AdminError::Storage(source)) => check(&source, Right::Topics)?,
            other => bail!("a topic that is not permitted: {other:?}"),
        }

        let log = connect(&cx, &cluster, TOPICS).await?;
        log.enqueue(vec![(some.clone(), batch(&["a"]))])?.await?;
        match log.open(&cx, &owner(std::slice::from_ref(&some))).await {
            Err(OpenError::Storage(source)) => check(&source, Right::TransactionalIds)?,
            other => bail!("a transactional id that is not permitted: {other:?}"),
        }

        let log = connect(&cx, &cluster, IDS).await?;
        match log.open(&cx, &owner(&[some])).await {
            Err(OpenError::Storage(source)) => check(&source, Right::Groups)?,
            other => bail!("a group that is not permitted: {other:?}"),
        }
        Ok(())
    })
}
