//! What says where tasks stand, when it is gone or would go.

use anyhow::{Result, bail, ensure};
use millstream_log::{Log as _, OpenError, PositionRefused};
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use crate::broker;
use crate::tasks::on_stage;

#[test]
fn a_topic_of_positions_that_would_forget_is_refused() -> Result<()> {
    on_stage(async |stage| {
        drop(stage.begun().await?);
        let topic = stage.name("millstream-positions");
        let forgets = |policy| {
            AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("cleanup.policy", policy)
        };
        let admin = stage.admin()?;
        for policy in ["delete", "compact,delete"] {
            for altered in admin.alter_configs([&forgets(policy)], &AdminOptions::new()).await? {
                altered.map_err(|(_, code)| code)?;
            }
            // Each process looks once.
            let log = broker::connect(&stage.cx, &stage.config).await?;
            let Err(error) = log.open(&stage.cx, &stage.owner()).await else {
                bail!("opened with {policy}")
            };
            let error = format!("{:#}", anyhow::Error::new(error));
            ensure!(error.contains(&format!("cleanup.policy={policy}")), "{error}");
            ensure!(error.contains("set it to compact"), "{error}");
        }
        Ok(())
    })
}

#[test]
fn offsets_that_are_gone_are_an_error_not_a_fresh_start() -> Result<()> {
    on_stage(async |stage| {
        drop(stage.begun().await?);
        let group = stage.name("app.pipeline.clean");
        for deleted in stage.admin()?.delete_groups(&[&group], &AdminOptions::new()).await? {
            deleted.map_err(|(_, code)| code)?;
        }
        match stage.open().await {
            Err(OpenError::Position(PositionRefused::Lost { partition, .. })) => {
                ensure!(partition == stage.events());
                Ok(())
            }
            other => bail!("a task whose offsets are gone got {other:?}"),
        }
    })
}

#[test]
fn a_topic_of_positions_that_is_gone_is_an_error_not_a_fresh_start() -> Result<()> {
    on_stage(async |stage| {
        drop(stage.begun().await?);
        stage.delete_topic("millstream-positions").await?;
        match stage.open().await {
            Err(OpenError::Position(PositionRefused::Forgotten { partition, .. })) => {
                ensure!(partition == stage.events());
                Ok(())
            }
            other => bail!("a task whose record is gone got {other:?}"),
        }
    })
}
