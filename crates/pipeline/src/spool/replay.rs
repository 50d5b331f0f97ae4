//! Going on after the cluster was taken back to an older state: forwards again what it lost.
//!
//! The journal's position is set to what the cluster shows, so that both agree again; that is the
//! permission, and it is used up by going on. What the journal no longer holds is named, and left
//! out only when that is asked for. To be called when no forwarder runs.

use std::fmt;

use millstream_log::{
    Committed, Log, OpenError, Opened, Owner, PositionRefused, ReaderError, Reposition,
    TransactError, Transaction, Writer,
};
use millstream_model::{Classify, ErrorClass, LogPosition, Offset, TopicPartition};
use millstream_runtime::Context;
use thiserror::Error;

use super::agreement::compare;
use super::{Disagreement, Position, PositionError, Settings};
use crate::counts::Counts;

/// What to do about records that the cluster lost and the journal no longer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Change nothing, and name them.
    Refuse,
    /// Go on without them.
    Accept,
}

/// How one partition goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The journal's partition.
    pub partition: TopicPartition,
    /// The next record to be forwarded.
    pub from: Offset,
    /// How many offsets will be forwarded a second time, for the cluster lost them.
    pub again: u64,
    /// How many offsets are lost, for nobody has them any more.
    pub lost: u64,
    /// Whether the last transaction stays committed in part: what its rest was is not known.
    pub is_torn: bool,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, from, again, lost, is_torn } = self;
        write!(f, "{partition} goes on at offset {from}, {again} of it again")?;
        if *lost > 0 {
            write!(f, ", {lost} lost")?;
        }
        if *is_torn {
            f.write_str(", the last transaction before it stays committed in part")?;
        }
        Ok(())
    }
}

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// Journal and cluster disagree on something that forwarding again does not heal.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// Records are gone.
    #[error(
        "{partition}: the cluster lost what was forwarded from offset {from} on, and the journal \
         begins at {start}; run it with --accept-loss to go on without what is between"
    )]
    Lost {
        /// The journal's partition.
        partition: TopicPartition,
        /// Where the cluster stands.
        from: Offset,
        /// The first readable record.
        start: Offset,
    },
    /// A stored position cannot be read.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// A task could not be opened.
    #[error("open {side}")]
    Open {
        /// Of the journal or the cluster.
        side: Side,
        /// Why.
        source: OpenError,
    },
    /// The journal could not be read.
    #[error("read the journal")]
    Read(#[from] ReaderError),
    /// A position could not be set; running it again is safe.
    #[error("set the position in {side}")]
    Transact {
        /// Of the journal or the cluster.
        side: Side,
        /// Why.
        source: TransactError,
    },
}

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The collector's journal.
    Journal,
    /// The cluster.
    Cluster,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "the journal",
            Self::Cluster => "the cluster",
        })
    }
}

impl Classify for ReplayError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Disagreement(_) | Self::Lost { .. } => ErrorClass::Invalid,
            Self::Position(error) => error.class(),
            Self::Open { source, .. } => source.class(),
            Self::Read(error) => error.class(),
            Self::Transact { source, .. } => source.class(),
        }
    }
}

/// Where a partition is to go on.
struct Plan {
    replay: Replay,
    /// What the journal is to say; `None`: that nothing is forwarded.
    local: Option<Position>,
    /// What the cluster is to say, where it cannot stay as it is.
    remote: Option<Position>,
}

/// Lets one partition go on from where the cluster stands; `None` when it needs no leave to.
///
/// Takes both tasks over from whoever owns them. Idempotent; in doubt, run it again.
pub async fn replay(
    cx: &Context,
    settings: &Settings,
    local: &dyn Log,
    remote: &dyn Log,
    loss: Loss,
) -> Result<Option<Replay>, ReplayError> {
    let owner = |task: &millstream_model::TaskId, inputs| Owner {
        task: task.clone(),
        inputs,
        renamed_from: None,
    };
    let (on_remote, is_torn) =
        open_remote(cx, remote, &owner(&settings.remote_task, Vec::new()), loss)
            .await
            .map_err(|source| ReplayError::Open { side: Side::Cluster, source })?;
    let on_local = local.open(cx, &owner(&settings.task, vec![settings.input.clone()])).await;
    let on_local = on_local.map_err(|source| ReplayError::Open { side: Side::Journal, source })?;
    let committed = (&on_local.committed, &on_remote.committed);
    let Some(plan) = plan(cx, settings, local, committed, loss).await? else {
        let there = Position::of_committed(committed.1)?.filter(|_| is_torn);
        return Ok(there.map(|there| Replay {
            partition: settings.input.clone(),
            from: there.next.offset,
            again: 0,
            lost: 0,
            is_torn,
        }));
    };
    let (mut on_local, mut on_remote) = (on_local.writer, on_remote.writer);
    if let Some(position) = &plan.remote {
        set(cx, &mut *on_remote, Some(position), Side::Cluster).await?;
    }
    set(cx, &mut *on_local, plan.local.as_ref(), Side::Journal).await?;
    Ok(Some(Replay { is_torn, ..plan.replay }))
}

/// Opens the cluster's task; tells whether its last transaction was torn, and that was accepted.
async fn open_remote(
    cx: &Context,
    remote: &dyn Log,
    owner: &Owner,
    loss: Loss,
) -> Result<(Opened, bool), OpenError> {
    match remote.open(cx, owner).await {
        Err(OpenError::Position(PositionRefused::Torn { .. })) if loss == Loss::Accept => {
            // What it stands for stays as it is; what is gone of the transaction stays gone.
            let task = owner.task.clone();
            let to = Reposition { task, consumed: Vec::new(), positions: Vec::new() };
            remote.admin().reposition(cx, &to).await?;
            Ok((remote.open(cx, owner).await?, true))
        }
        opened => Ok((opened?, false)),
    }
}

async fn plan(
    cx: &Context,
    settings: &Settings,
    local: &dyn Log,
    (here, there): (&Committed, &Committed),
    loss: Loss,
) -> Result<Option<Plan>, ReplayError> {
    let input = &settings.input;
    let here = Position::of_committed(here)?;
    let there = Position::of_committed(there)?;
    let bounds = local.bounds(cx, input).await?;
    let start = bounds.start;
    let from = match compare(input, here.as_ref(), there.as_ref(), &bounds) {
        Ok(_agreement) => return Ok(None),
        Err(Disagreement::Forgotten { .. }) => Offset::ZERO,
        Err(Disagreement::RolledBack { remote, .. }) => remote,
        Err(Disagreement::Gone { from, .. }) => from,
        Err(other) => return Err(other.into()),
    };
    let lost = start.offset.0.saturating_sub(from.0);
    if lost > 0 && loss == Loss::Refuse {
        let (partition, start) = (input.clone(), start.offset);
        return Err(ReplayError::Lost { partition, from, start });
    }
    let at = if lost > 0 { start.offset } else { from };
    let before = here.as_ref().map_or(at, |here| here.next.offset);
    let again = before.0.saturating_sub(at.0);
    let replay = Replay { partition: input.clone(), from: at, again, lost, is_torn: false };
    Ok(Some(match there {
        // Nothing is forwarded: the forwarder begins at the first readable record by itself.
        None => Plan { replay, local: None, remote: None },
        Some(there) if lost > 0 => {
            let position = without_what_is_gone(&there, start);
            Plan { replay, local: Some(position.clone()), remote: Some(position) }
        }
        Some(there) => {
            check_history(cx, local, input, &there).await?;
            Plan { replay, local: Some(there), remote: None }
        }
    }))
}

/// The position at the first readable record; the record before it is gone, and its checksum.
fn without_what_is_gone(there: &Position, start: LogPosition) -> Position {
    Position { next: start, checksum: 0, refusals: Vec::new(), ..there.clone() }
}

async fn check_history(
    cx: &Context,
    local: &dyn Log,
    input: &TopicPartition,
    there: &Position,
) -> Result<(), ReplayError> {
    let of_refused = |refused: &PositionRefused| {
        Disagreement::of_refused(refused, there.next.offset).map(ReplayError::Disagreement)
    };
    match local.reader(cx, input, there.next).await {
        Ok(_reader) => Ok(()),
        Err(ReaderError::Position(refused)) => {
            Err(of_refused(&refused).unwrap_or(ReplayError::Read(refused.into())))
        }
        Err(error) => Err(error.into()),
    }
}

async fn set(
    cx: &Context,
    writer: &mut dyn Writer,
    position: Option<&Position>,
    side: Side,
) -> Result<(), ReplayError> {
    let counts = position.map_or_else(Counts::default, Position::counts);
    let bytes = position.map(Position::encode).unwrap_or_default();
    let mut positions = vec![(Position::source_id(), bytes)];
    if side == Side::Journal {
        positions.push((Counts::source_id(), counts.encode()));
    }
    let transaction = Transaction { positions, ..Transaction::default() };
    let set = writer.transact(cx, transaction).await;
    set.map_err(|source| ReplayError::Transact { side, source })
}
