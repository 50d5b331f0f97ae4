//! Administration: topics, and trimming that passes nobody (P4).

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use millstream_model::{Offset, TopicName};

use super::stage::{Stage, owner, partition};
use super::{Capability, Property};
use crate::error::AdminError;
use crate::topic::{TopicConfig, TopicKind};
use crate::transaction::Transaction;

pub(super) const PROPERTIES: &[Property] = &[
    Property::new(
        "L2",
        "making a topic again finds it and applies its configuration",
        &[],
        |stage| Box::pin(making_a_topic_is_idempotent(stage)),
    ),
    Property::new("L2", "another number of partitions is refused", &[], |stage| {
        Box::pin(another_number_of_partitions(stage))
    }),
    Property::new("L2", "every topic is listed by name and has an id of its own", &[], |stage| {
        Box::pin(topics_are_listed(stage))
    }),
    Property::new("L2", "a log that is not gapless says so", &[], |stage| {
        Box::pin(gaplessness_is_told(stage))
    }),
    Property::new("P4", "a trim makes exactly what lies before it unreadable", &[], |stage| {
        Box::pin(a_trim_is_exact(stage))
    }),
    Property::new("P4", "a trim never passes a registered task", &[], |stage| {
        Box::pin(a_trim_passes_nobody(stage))
    }),
    Property::new("P4", "a trim of an unknown partition is refused", &[], |stage| {
        Box::pin(an_unknown_partition(stage))
    }),
    Property::new(
        "P4",
        "a trim and the topics stay over a restart",
        &[Capability::Restart],
        |stage| Box::pin(administration_stays(stage)),
    ),
];

fn config(partitions: u32) -> TopicConfig {
    TopicConfig { partitions, kind: TopicKind::Events, retention: None }
}

async fn making_a_topic_is_idempotent(stage: &mut Stage) -> Result<()> {
    let (admin, name) = (stage.log.admin(), TopicName::new("made")?);
    let first = admin.ensure_topic(&stage.cx, &name, &config(3)).await?;
    ensure!(first.name == name && first.config == config(3));
    stage.append(&partition("made", 2), &["a"]).await?;
    ensure!(admin.ensure_topic(&stage.cx, &name, &config(3)).await? == first);
    let changed = TopicConfig { retention: Some(Duration::from_secs(3600)), ..config(3) };
    let second = admin.ensure_topic(&stage.cx, &name, &changed).await?;
    ensure!(second.id == first.id && second.config == changed, "{second:?}");
    ensure!(admin.topics(&stage.cx).await?.contains(&second));
    ensure!(stage.values(&partition("made", 2)).await? == ["a"]);
    Ok(())
}

async fn another_number_of_partitions(stage: &mut Stage) -> Result<()> {
    let (admin, name) = (stage.log.admin(), TopicName::new("four")?);
    for wanted in [3, 5] {
        match admin.ensure_topic(&stage.cx, &name, &config(wanted)).await {
            Err(AdminError::Partitions { found: 4, wanted: named, .. }) => ensure!(named == wanted),
            other => bail!("{wanted} partitions instead of four got {other:?}"),
        }
    }
    let none = admin.ensure_topic(&stage.cx, &TopicName::new("none")?, &config(0)).await;
    ensure!(none.is_err(), "a topic without partitions was made");
    ensure!(admin.topics(&stage.cx).await?.len() == 3);
    Ok(())
}

async fn topics_are_listed(stage: &mut Stage) -> Result<()> {
    let topics = stage.log.admin().topics(&stage.cx).await?;
    let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    ensure!(names == ["four", "letters", "one"], "{names:?}");
    ensure!(topics[0].id != topics[1].id && topics[1].id != topics[2].id);
    ensure!(topics[1].config.kind == TopicKind::DeadLetters);
    let position = stage.bounds(&stage.one()).await?.end;
    ensure!(position.topic == topics[2].id && position.log == stage.log.admin().log_id());
    Ok(())
}

async fn gaplessness_is_told(stage: &mut Stage) -> Result<()> {
    let claims = stage.subject.capabilities().contains(&Capability::Gapless);
    ensure!(stage.log.admin().is_gapless() == claims);
    Ok(())
}

async fn a_trim_is_exact(stage: &mut Stage) -> Result<()> {
    let (admin, one) = (stage.log.admin(), stage.one());
    stage.append(&one, &["a", "b", "c"]).await?;
    stage.append(&one, &["d", "e"]).await?;
    let all = stage.read(&one).await?;
    for (index, (before, _)) in all.iter().enumerate() {
        admin.trim(&stage.cx, &one, *before).await?;
        ensure!(stage.bounds(&one).await?.start.offset == *before);
        ensure!(stage.read(&one).await? == all[index..]);
    }
    admin.trim(&stage.cx, &one, Offset(0)).await?;
    ensure!(stage.read(&one).await? == all[all.len() - 1..], "a trim moved backwards");
    let end = stage.bounds(&one).await?.end.offset;
    admin.trim(&stage.cx, &one, end).await?;
    ensure!(stage.read(&one).await?.is_empty() && stage.bounds(&one).await?.end.offset == end);
    let beyond = admin.trim(&stage.cx, &one, Offset(end.0 + 1)).await;
    ensure!(beyond.is_err(), "a trim passed the end: records to come would be gone");
    stage.append(&one, &["f"]).await?;
    ensure!(stage.values(&one).await? == ["f"]);
    Ok(())
}

async fn a_trim_passes_nobody(stage: &mut Stage) -> Result<()> {
    let (admin, one) = (stage.log.admin(), stage.one());
    stage.append(&one, &["a", "b"]).await?;
    let mut opened = stage.open("task", std::slice::from_ref(&one)).await?;
    stage.append(&one, &["c"]).await?;
    let end = stage.bounds(&one).await?.end.offset;
    match admin.trim(&stage.cx, &one, end).await {
        Err(AdminError::PassesPosition { task, before, .. }) => {
            ensure!(task == owner("task", &[]).task && before == end);
        }
        other => bail!("a trim past a task that has read nothing got {other:?}"),
    }
    ensure!(stage.values(&one).await? == ["a", "b", "c"], "a refused trim took records");
    let consumed = vec![stage.consumed_all(&one).await?];
    opened.writer.transact(&stage.cx, Transaction { consumed, ..Transaction::default() }).await?;
    admin.trim(&stage.cx, &one, end).await?;
    ensure!(stage.values(&one).await?.is_empty());
    // The task goes on where it stood.
    stage.open("task", std::slice::from_ref(&one)).await?;
    Ok(())
}

async fn an_unknown_partition(stage: &mut Stage) -> Result<()> {
    for unknown in [partition("four", 4), partition("none", 0)] {
        let refused = stage.log.admin().trim(&stage.cx, &unknown, Offset(0)).await;
        ensure!(matches!(refused, Err(AdminError::UnknownPartition(_))), "{refused:?}");
    }
    Ok(())
}

async fn administration_stays(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    stage.append(&one, &["a", "b", "c"]).await?;
    let (second, _) = stage.read(&one).await?[1];
    stage.log.admin().trim(&stage.cx, &one, second).await?;
    let (topics, log) = (stage.log.admin().topics(&stage.cx).await?, stage.log.admin().log_id());
    stage.restart().await?;
    ensure!(stage.log.admin().topics(&stage.cx).await? == topics);
    ensure!(stage.log.admin().log_id() == log);
    ensure!(stage.bounds(&one).await?.start.offset == second);
    ensure!(stage.values(&one).await? == ["b", "c"]);
    Ok(())
}
