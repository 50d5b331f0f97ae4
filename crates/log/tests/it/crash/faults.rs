//! Every disk operation of the workload fails once, without a crash: what cannot be done is
//! refused or left in doubt, the rest goes on, and nothing acknowledged is lost.

use anyhow::{Context as _, Result, ensure};
use millstream_log::conformance::batch;
use millstream_log::conformance::say;
use millstream_log::{EnqueueError, Log};
use millstream_runtime::disk::fault::{Fault, FaultDisk, OpKind, Survival, When};

use super::afterlife;
use super::scenario::EVENTS;
use super::workload::{Ended, World};
use crate::block_on;

/// Lives the first life with one fault, then reboots into several states and lives on.
async fn live_with(when: When, fault: Fault, seed: u64) -> Result<World> {
    let disk = FaultDisk::new(seed);
    disk.inject(when, fault);
    let mut world = World::new(disk);
    ensure!(world.live().await? == Ended::Whole);
    world.check().await.context("with the journal that met the fault")?;
    world.stop();
    for survival in [Survival::Synced, Survival::Killed, Survival::Mixture(seed)] {
        let mut rebooted = world.after(world.disk.copy().reboot(survival));
        afterlife(&mut rebooted).await.with_context(|| format!("{survival:?}"))?;
    }
    Ok(world)
}

/// Counts the operations of a life without faults.
async fn count(kind: OpKind) -> Result<u64> {
    let mut world = World::new(FaultDisk::new(7));
    ensure!(world.live().await? == Ended::Whole);
    world.stop();
    Ok(world.disk.counts().of(kind))
}

/// Lets each operation of a kind fail once.
async fn sweep(kind: OpKind, fault: Fault, every: usize) -> Result<()> {
    let (operations, mut struck) = (count(kind).await?, 0);
    for number in (1..=operations).step_by(every) {
        let world = live_with(When::Nth(kind, number), fault, number).await;
        let world = world.with_context(|| format!("{fault:?} of {kind:?} {number}"))?;
        struck += u64::from(world.errors > 0);
    }
    say(&format!(
        "faults: {fault:?} at {} of {operations} {kind:?} operations, {struck} met by a caller",
        operations.div_ceil(every as u64),
    ))
}

#[test]
fn a_failing_sync_loses_nothing_acknowledged() -> Result<()> {
    block_on(sweep(OpKind::Sync, Fault::Error, 1))
}

#[test]
fn a_failing_directory_sync_loses_nothing_acknowledged() -> Result<()> {
    block_on(sweep(OpKind::SyncDir, Fault::Error, 1))
}

#[test]
fn a_failing_write_loses_nothing_acknowledged() -> Result<()> {
    block_on(sweep(OpKind::Write, Fault::TornWrite, 1))
}

#[test]
fn a_short_write_is_no_error() -> Result<()> {
    block_on(sweep(OpKind::Write, Fault::ShortWrite, 3))
}

#[test]
fn a_write_without_space_is_refused_and_the_next_one_taken() -> Result<()> {
    block_on(sweep(OpKind::Write, Fault::NoSpace, 1))
}

#[test]
fn failing_names_and_sizes_lose_nothing_acknowledged() -> Result<()> {
    block_on(async {
        for kind in [OpKind::Create, OpKind::Remove, OpKind::Rename, OpKind::SetLen] {
            sweep(kind, Fault::Error, 1).await?;
        }
        sweep(OpKind::Allocate, Fault::Error, 1).await?;
        sweep(OpKind::Allocate, Fault::NoSpace, 1).await
    })
}

#[test]
fn a_failing_read_loses_nothing_acknowledged() -> Result<()> {
    block_on(async {
        sweep(OpKind::Read, Fault::Error, 7).await?;
        sweep(OpKind::Open, Fault::Error, 3).await?;
        sweep(OpKind::List, Fault::Error, 1).await
    })
}

/// How many changes after the fault the power goes.
const CRASHES_AFTER: [u64; 4] = [1, 2, 4, 7];

/// Lets each operation of a kind fail once, and cuts the power soon afterwards.
async fn sweep_with_power_cut(kind: OpKind) -> Result<u64> {
    let mut world = World::new(FaultDisk::new(7));
    ensure!(world.live().await? == Ended::Whole);
    world.stop();
    let operations = world.disk.operations();
    let of_kind = operations.iter().filter(|operation| operation.kind == kind);
    let mut crashes = 0;
    for (number, operation) in (1..).zip(of_kind) {
        for after in CRASHES_AFTER {
            let disk = FaultDisk::new(7);
            disk.inject(When::Nth(kind, number), Fault::Error);
            disk.crash_at(operation.change + after);
            let mut world = World::new(disk);
            world.live().await?;
            world.stop();
            let seeds = (0..3).map(|seed| Survival::Mixture(7 * operation.change + seed));
            for survival in seeds.chain([Survival::Synced, Survival::Written]) {
                let mut rebooted = world.after(world.disk.copy().reboot(survival));
                let lived = afterlife(&mut rebooted).await;
                lived.with_context(|| {
                    format!("{operation} fails, power cut {after} changes later, {survival:?}")
                })?;
            }
            crashes += 1;
        }
    }
    Ok(crashes)
}

#[test]
fn a_power_cut_soon_after_a_failure_loses_nothing_acknowledged() -> Result<()> {
    block_on(async {
        for kind in [OpKind::SyncDir, OpKind::Sync, OpKind::Remove, OpKind::Create] {
            let crashes = sweep_with_power_cut(kind).await?;
            say(&format!("faults: {crashes} power cuts after a failing {kind:?}, 5 reboots each"))?;
        }
        Ok(())
    })
}

#[test]
fn a_full_disk_refuses_intake_and_takes_it_again_when_there_is_room() -> Result<()> {
    block_on(async {
        let mut world = World::new(FaultDisk::new(7));
        ensure!(world.live().await? == Ended::Whole);
        world.disk.set_capacity(Some(world.disk.used_bytes()));
        let journal = world.journal()?;
        let mut refused = None;
        // What is allocated ahead may still be used.
        for _ in 0..20_000 {
            let filler = batch(&["filler".repeat(1000).as_str()]);
            let append = match journal.enqueue(vec![(EVENTS.partition(0), filler)]) {
                Ok(append) => append.await.map(|_appended| ()),
                Err(error) => Err(error),
            };
            if let Err(error) = append {
                refused = Some(error);
                break;
            }
        }
        ensure!(matches!(refused, Some(EnqueueError::Full { .. })), "a full disk got {refused:?}");
        world.disk.set_capacity(None);
        journal.maintain().await;
        journal.enqueue(vec![(EVENTS.partition(0), batch(&["after"]))])?.await?;
        Ok(())
    })
}
