//! What all parts of the log share: the configuration, the names, the identity of the cluster and
//! of its topics, the way to make clients and to end them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_model::LogId;
use millstream_runtime::{Cancelled, Context, TaskKind};
use rdkafka::client::{Client, NativeClient};
use rdkafka::producer::{Producer as _, ThreadedProducer};
use tokio::time::Instant;
use uuid::Uuid;

use crate::call::{self, CallError};
use crate::client::{Clients, Connection, Observer, Trouble, TroubleKind};
use crate::config::{Config, Settings};
use crate::error::{KafkaError, Reason};
use crate::names::Names;
use crate::reaper::Reaper;
use crate::topics::Topics;

/// How long one attempt to learn the cluster's identity takes; between two it is looked whether the
/// connection can come to anything at all.
const CONNECT_SLICE: Duration = Duration::from_millis(100);

/// What is done while a cluster is not reached yet.
const REACHING: &str = "reach the cluster";

/// How long one question for the leaders of a topic may take.
const LEADERS_TIME_MAX: Duration = Duration::from_secs(1);

/// A Kafka cluster, reached.
pub struct Cluster {
    /// How to reach it, and the limits.
    pub config: Arc<Config>,
    /// What only code sets.
    pub settings: Settings,
    /// What our things are called there.
    pub names: Names,
    /// Makes clients.
    pub clients: Clients,
    /// Its identity.
    pub log_id: LogId,
    /// What is known of its topics.
    pub(crate) topics: Topics,
    /// Ends clients that nobody uses any more.
    pub(crate) reaper: Reaper,
    admin: ThreadedProducer<Observer>,
    connection: Arc<Connection>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("brokers", &self.config.brokers)
            .field("prefix", &self.config.topic_prefix)
            .field("log_id", &self.log_id)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reaches the cluster and asks for its identity and for our topics.
    ///
    /// Ends as soon as it is clear that the brokers refuse us, and after `request_time_max` or with
    /// the deadline of `cx` in any case; then the error says why there is no connection. Dropped, it
    /// leaves nothing behind.
    pub async fn connect(
        cx: &Context,
        config: Config,
        settings: Settings,
    ) -> Result<Arc<Self>, CallError> {
        config.validate().map_err(|error| {
            KafkaError::found(REACHING, Reason::Config { detail: error.to_string() })
        })?;
        let config = Arc::new(config);
        let names = Names::new(&config.topic_prefix, &settings.app);
        let clients = Clients::new(Arc::clone(&config), names.clone());
        let connection = Connection::new("admin");
        let admin: ThreadedProducer<Observer> = clients
            .admin()
            .create_with_context(Observer(Arc::clone(&connection)))
            .map_err(|error| KafkaError::new(REACHING, error, &connection))?;
        let reaper = Reaper::start().map_err(|error| {
            KafkaError::found(REACHING, Reason::Other { detail: error.to_string() })
        })?;
        let (time_max, hang_time_max) = (config.request_time_max, config.hang_time_max());
        let (asking, memory) = (admin.clone(), Arc::clone(&connection));
        let ask = move || cluster_id(asking.client(), &memory, time_max);
        let asked = call::run(cx, hang_time_max, TaskKind("kafka_connect"), ask).await;
        let log_id = asked.map_err(|error| unanswered(error, &connection))?;
        let cluster = Arc::new(Self {
            config,
            settings,
            names,
            clients,
            log_id,
            topics: Topics::default(),
            reaper,
            admin,
            connection,
        });
        let described = cluster.describe_all(cx).await;
        described.map_err(|error| unanswered(error, &cluster.connection))?;
        Ok(cluster)
    }

    /// Lends the client that administrates.
    pub(crate) fn native(&self) -> &NativeClient {
        self.admin.client().native_client()
    }

    pub(crate) fn admin_client(&self) -> &Client<Observer> {
        self.admin.client()
    }

    /// Lets the client that administrates ask anew who leads a topic; blocking. After some errors it
    /// does not do so by itself, and repeats them until what it knows is too old.
    pub(crate) fn ask_for_leaders(&self, topic: &str) {
        let asked = self.admin.client().fetch_metadata(Some(topic), LEADERS_TIME_MAX);
        if let Err(error) = asked {
            tracing::debug!(topic, %error, "who leads it is not told");
        }
    }

    /// Tells whether the client that administrates said lately why it has no connection.
    pub(crate) fn has_trouble(&self) -> bool {
        self.connection.trouble().is_some()
    }

    /// Sorts the outcome of a call of the client that administrates.
    pub(crate) fn outcome<T>(
        &self,
        during: &'static str,
        result: Result<T, rdkafka::error::KafkaError>,
    ) -> Result<T, KafkaError> {
        match result {
            Ok(found) => {
                self.connection.on_success();
                Ok(found)
            }
            Err(error) => Err(KafkaError::new(during, error, &self.connection)),
        }
    }
}

/// Asks for the identity of the cluster until it is known or cannot become so.
fn cluster_id(
    client: &Client<Observer>,
    connection: &Connection,
    time_max: Duration,
) -> Result<LogId, KafkaError> {
    let deadline = Instant::now() + time_max;
    loop {
        if let Some(id) = client.fetch_cluster_id(CONNECT_SLICE) {
            connection.on_success();
            return Ok(LogId(uuid_of(&id)));
        }
        let trouble = connection.trouble();
        // Waiting makes neither a password nor a certificate right.
        let is_refused = trouble.as_ref().is_some_and(|trouble| trouble.kind >= TroubleKind::Tls);
        if is_refused || Instant::now() >= deadline {
            return Err(KafkaError::found(REACHING, why_not(trouble)));
        }
    }
}

/// Says why the cluster is not reached, where all that is known is that the time has passed.
fn unanswered(error: CallError, connection: &Connection) -> CallError {
    match error {
        CallError::Cancelled(Cancelled::DeadlinePassed) => {
            KafkaError::found(REACHING, why_not(connection.trouble())).into()
        }
        told => told,
    }
}

fn why_not(trouble: Option<Trouble>) -> Reason {
    let silent = || Reason::Unreachable { detail: "nothing was said".to_owned() };
    trouble.map_or_else(silent, Reason::from)
}

/// Returns the identity of a cluster as 16 bytes: Kafka's own ids are just that in base64; what
/// other implementations say is hashed (FNV-1a).
fn uuid_of(cluster_id: &str) -> Uuid {
    if let Some(bytes) = decode(cluster_id) {
        return Uuid::from_bytes(bytes);
    }
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    Uuid::from_u128(cluster_id.bytes().fold(OFFSET, step))
}

/// Decodes 22 digits of URL-safe base64 without padding to 16 bytes.
fn decode(text: &str) -> Option<[u8; 16]> {
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    let mut last = 0;
    for (index, byte) in text.bytes().enumerate() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        // 21 digits fill 126 bits; the last one brings two, and four that are zero.
        if index == 21 { last = digit } else { bits = (bits << 6) | u128::from(digit) }
    }
    (last & 0x0f == 0).then_some(((bits << 2) | u128::from(last >> 4)).to_be_bytes())
}

#[cfg(test)]
mod tests;
