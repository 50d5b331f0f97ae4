//! The journal is killed at every disk operation of a workload, and again while it recovers; and
//! every disk operation of it is made to fail. Nothing acknowledged is lost, nothing is doubled.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, anyhow, ensure};
use millstream_log::conformance::say;
use millstream_runtime::Rng;
use millstream_runtime::disk::fault::{FaultDisk, Op, OpKind, Survival};

use crate::block_on;

mod faults;
mod scenario;
mod witness;
mod workload;

use workload::{Ended, World};

/// Set to `all`, every operation of every recovery is a crash point too; otherwise a sample is.
const DEPTH: &str = "MILLSTREAM_CRASH_TEST";

/// One in so many operations of a recovery is a crash point in the sample.
const SAMPLE: u32 = 6;

/// The states that a crash at operation `n` may leave.
fn survivals(operation: u64) -> [Survival; 5] {
    [
        Survival::Synced,
        Survival::Written,
        Survival::Killed,
        Survival::Mixture(2 * operation),
        Survival::Mixture(2 * operation + 1),
    ]
}

/// Lives the first life on a disk that crashes at this operation, or never.
async fn first_life(crash_at: Option<u64>) -> Result<(World, Ended)> {
    let disk = FaultDisk::new(7);
    if let Some(operation) = crash_at {
        disk.crash_at(operation);
    }
    let mut world = World::new(disk);
    let ended = world.live().await?;
    world.stop();
    let ended = if world.disk.is_crashed() { Ended::Crashed } else { ended };
    Ok((world, ended))
}

/// Starts on what a reboot left, checks it, lives on, and checks again after a power cut: what
/// was found at the first start must have been made durable, not only been read.
async fn afterlife(world: &mut World) -> Result<()> {
    ensure!(world.start()? == Ended::Whole, "the journal does not open");
    ensure!(world.errors == 0, "the journal opens only at the second attempt");
    world.check().await.context("after recovery")?;
    ensure!(world.live_on().await? == Ended::Whole);
    world.check().await.context("after living on")?;
    ensure!(world.errors == 0, "living on met {} errors", world.errors);
    world.stop();
    let mut last = world.after(world.disk.copy().reboot(Survival::Synced));
    ensure!(last.start()? == Ended::Whole, "the journal does not open again");
    last.check().await.context("after a power cut at the end")?;
    last.stop();
    Ok(())
}

/// What was tried so far, by all threads.
#[derive(Default)]
struct Coverage {
    crashes: AtomicU64,
    reboots: AtomicU64,
    recovery_crashes: AtomicU64,
    recovery_operations: AtomicU64,
    /// How many states were met again after they had been lived on from.
    repeated: AtomicU64,
    /// Every state that was lived on from.
    states: Mutex<HashSet<u64>>,
}

impl Coverage {
    fn count(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// Lives on after a reboot, unless another crash left the same disk and the same knowledge of
    /// it: what follows would be the same.
    async fn live_on_from(&self, world: &mut World) -> Result<()> {
        let is_new = self.states.lock().is_ok_and(|mut all| all.insert(world.fingerprint()));
        if is_new {
            return afterlife(world).await;
        }
        Self::count(&self.repeated, 1);
        Ok(())
    }
}

/// Crashes at operations of the recovery from one crash.
async fn crash_again(
    crashed: &World,
    survival: Survival,
    sample: &mut Rng,
    coverage: &Coverage,
) -> Result<()> {
    let all = std::env::var(DEPTH).is_ok_and(|depth| depth == "all");
    let rebooted = crashed.disk.reboot(survival);
    let mut trial = crashed.after(rebooted.copy());
    afterlife(&mut trial).await?;
    let operations = trial.disk.changes();
    Coverage::count(&coverage.recovery_operations, operations);
    for operation in 1..=operations {
        if !all && !sample.chance(1, SAMPLE) {
            continue;
        }
        let disk = rebooted.copy();
        disk.crash_at(operation);
        let mut second = crashed.after(disk);
        if second.start()? == Ended::Whole {
            let known = second.witness.clone();
            match second.check().await {
                Ok(()) => {
                    second.live_on().await?;
                }
                // Reading may write an index, and stop there.
                Err(_) if second.disk.is_crashed() => second.witness = known,
                Err(error) => return Err(error.context("after the first recovery")),
            }
        }
        second.stop();
        ensure!(second.disk.is_crashed(), "operation {operation} of the recovery never came");
        let seed = sample.next_u64();
        for again in [Survival::Synced, Survival::Killed, Survival::Mixture(seed)] {
            let mut third = second.after(second.disk.reboot(again));
            let lived = coverage.live_on_from(&mut third).await;
            lived.with_context(|| format!("crash at {operation} of the recovery, {again:?}"))?;
        }
        Coverage::count(&coverage.recovery_crashes, 1);
    }
    Ok(())
}

/// Crashes at one operation of the first life, reboots into several states, and crashes again.
async fn crash_at(operation: u64, coverage: &Coverage) -> Result<()> {
    let (world, ended) = first_life(Some(operation)).await?;
    ensure!(ended == Ended::Crashed, "operation {operation} never came");
    let stopped = world.disk.operations().last().map(ToString::to_string);
    let at = || format!("crash at {}", stopped.as_deref().unwrap_or("the start"));
    for survival in survivals(operation) {
        let mut rebooted = world.after(world.disk.reboot(survival));
        let lived = coverage.live_on_from(&mut rebooted).await;
        lived.with_context(|| format!("{}, {survival:?}", at()))?;
        Coverage::count(&coverage.reboots, 1);
    }
    let survival = survivals(operation)[usize::try_from(operation % 5)?];
    let again = crash_again(&world, survival, &mut Rng::from_seed(operation), coverage).await;
    again.with_context(|| format!("{}, {survival:?}", at()))?;
    Coverage::count(&coverage.crashes, 1);
    Ok(())
}

/// Crashes at every operation of the first life, on as many threads as there are cores.
fn crash_everywhere(operations: u64, coverage: &Coverage) -> Result<()> {
    let next = AtomicU64::new(1);
    let work = || -> Result<()> {
        loop {
            let operation = next.fetch_add(1, Ordering::Relaxed);
            if operation > operations {
                return Ok(());
            }
            block_on(crash_at(operation, coverage)).inspect_err(|_failed| {
                next.store(operations + 1, Ordering::Relaxed);
            })?;
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut running = Vec::with_capacity(threads);
        for number in 0..threads {
            let thread = std::thread::Builder::new().name(format!("crash-{number}"));
            running.push(thread.spawn_scoped(scope, work)?);
        }
        for thread in running {
            thread.join().map_err(|panic| anyhow!("a world panicked: {panic:?}"))??;
        }
        Ok(())
    })
}

#[test]
fn every_crash_point_recovers_to_what_was_acknowledged() -> Result<()> {
    let (operations, counts) = block_on(async {
        ensure!(witness::names_are_legal());
        let (mut whole, ended) = first_life(None).await?;
        ensure!(ended == Ended::Whole && whole.errors == 0, "the workload fails on a good disk");
        let operations = whole.disk.operations();
        let is_archived = |op: &&Op| op.path.parent().is_some_and(|dir| dir.ends_with("archive"));
        for kind in [OpKind::Rename, OpKind::Remove] {
            let count = operations.iter().filter(is_archived).filter(|op| op.kind == kind).count();
            ensure!(count > 2, "{kind:?} in the archive happened {count} times");
        }
        let changes = whole.disk.changes();
        let mut after = whole.after(whole.disk.copy());
        afterlife(&mut after).await.context("without a crash")?;
        ensure!(whole.witness.acknowledged_len() > 30);
        whole.stop();
        Ok((changes, whole.disk.counts()))
    })?;
    let coverage = Coverage::default();
    crash_everywhere(operations, &coverage)?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let crashes = count(&coverage.crashes);
    ensure!(crashes == operations, "{crashes} of {operations}");
    say(&format!(
        "crash points: {operations} of {operations} operations ({counts}), {} reboots; during \
         recovery: {} of {} operations, 3 reboots each; {} reboots were to a state met before",
        count(&coverage.reboots),
        count(&coverage.recovery_crashes),
        count(&coverage.recovery_operations),
        count(&coverage.repeated),
    ))
}
