//! The first transaction of a task, and one that nothing can complete.

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::{Log as _, OpenError, PositionRefused, Reposition};
use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminOptions;

use super::{Act, Part, Scene, broker, check_stands_at, transaction};
use crate::block_on;

/// What an output holds where the next owner brought the first transaction.
const FIRST_LATE: &[u64] = &[0, 1];

#[test]
fn a_first_transaction_that_was_torn_is_whole_with_its_offsets_once_opened() -> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    for part in [Part::Positions, Part::Group] {
        block_on(async {
            let scene = Scene::set(cluster, Act::TransactFirst).await?;
            scene.commit_in(&[part])?;
            scene
                .open_at(1, [FIRST_LATE, FIRST_LATE])
                .await
                .with_context(|| format!("{part:?}"))?;
            drop(scene.open_at(1, [FIRST_LATE, FIRST_LATE]).await.context("opened again")?);
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_torn_transaction_whose_rest_was_deleted_is_refused_until_a_person_says_where_to_go_on()
-> Result<()> {
    let Some(cluster) = broker::shared() else { return Ok(()) };
    block_on(async {
        let scene = Scene::set(cluster, Act::Transact).await?;
        let (stage, topic) = (&scene.stage, scene.stage.name("clean"));
        let open = cluster.open_transactions(&topic)?;
        let first = open.iter().find(|open| open.partition == 0).context("nothing is open")?;
        scene.commit_in(&[Part::Positions, Part::Group])?;
        let mut before = TopicPartitionList::new();
        let kept = rdkafka::Offset::Offset(first.start_offset + 1);
        before.add_partition_offset(&topic, 0, kept)?;
        let deleted = stage.admin()?.delete_records(&before, &AdminOptions::new()).await?;
        deleted.elements().iter().try_for_each(|one| one.error())?;

        for _ in 0..2 {
            let refused = match stage.open().await {
                Err(OpenError::Position(refused @ PositionRefused::Torn { .. })) => refused,
                other => bail!("what is gone cannot be completed: {other:?}"),
            };
            let place = format!("{topic}-0 at offset {}", first.start_offset);
            ensure!(refused.to_string().contains(&place), "{refused}");
            ensure!(refused.to_string().contains("millstream tasks reset"), "{refused}");
        }
        let to = transaction(stage, scene.of, 2).await?;
        let (task, positions) = (stage.owner().task, to.positions);
        let to = Reposition { task, consumed: to.consumed, positions };
        stage.log.admin().reposition(&stage.cx, &to).await?;
        let mut opened = stage.open().await?;
        check_stands_at(&opened.committed, 2, stage)?;
        opened.writer.transact(&stage.cx, transaction(stage, scene.of, 3).await?).await?;
        scene.check_holds(1, &[1, 0, 3]).await
    })
}
