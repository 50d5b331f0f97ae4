//! The log on Kafka: what implements the contract, part by part.

use std::sync::Arc;

use millstream_runtime::Context;

use crate::cluster::Cluster;
use crate::config::{Config, Settings};
use crate::error::KafkaError;

/// The log on a Kafka cluster.
#[derive(Debug)]
pub struct KafkaLog {
    pub(crate) cluster: Arc<Cluster>,
}

impl KafkaLog {
    /// Reaches the cluster.
    pub async fn connect(
        cx: &Context,
        config: Config,
        settings: Settings,
    ) -> Result<Self, KafkaError> {
        Ok(Self { cluster: Cluster::connect(cx, config, settings).await? })
    }
}
