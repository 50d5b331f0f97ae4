//! The sink that stores events in one Iceberg table, exactly once.
//!
//! It joins [`crate::stage`], which turns events into files, and [`crate::commit`], which makes
//! files and positions one version of the table. Its state is a value that any error throws
//! away: `open` reads everything from the table again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::spec::DataFile;
use millstream_log::OffsetBatch;
use millstream_model::{LogPosition, Offset, Timestamp, TopicPartition};
use millstream_pipeline::sink::{
    CommitId, Sink, SinkCommit, SinkError, SinkOpened, SinkPosition, SinkReject, Staged,
};
use millstream_runtime::{Context, TaskKind, spawn_blocking};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::commit::{Advance, Change, Committed, Committer, Settings as CommitSettings, Unmoved};
use crate::config::{Config, ConfigError};
use crate::metrics;
use crate::position::{PositionMap, Rejection, Rejections, Standing};
use crate::schema::{Fit, Layout, create, fit};
use crate::stage::{Finished, Stage, Workshop};
use crate::warehouse::Seams;
use crate::{Lake, LakeError, TableName};

/// Rejected records from which a commit is due: they stand in the table's metadata.
const REJECTED_MAX: u64 = 1_000;

/// What only code sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sink's name; its positions stand under it in the table.
    pub name: String,
    /// The directory of the lake.
    pub dir: PathBuf,
    /// The disk and the clock.
    pub seams: Seams,
}

/// Stores events in one Iceberg table; see [`Sink`] for what it promises.
#[derive(Debug)]
pub struct IcebergSink {
    config: Config,
    table: TableName,
    settings: Settings,
    lake: Option<Lake>,
    started: Timestamp,
    open: Option<Open>,
}

/// What stands between `open` and the first error.
#[derive(Debug)]
struct Open {
    committer: Committer,
    /// `None` while the stage is at work elsewhere; a cancelled call leaves it so.
    stage: Option<Stage>,
    inputs: BTreeMap<TopicPartition, Input>,
    staged: Staged,
}

/// How far one partition came since the last commit.
#[derive(Debug, Default)]
struct Input {
    from: Option<LogPosition>,
    /// The first record staged.
    first: Option<Offset>,
    to: Option<LogPosition>,
    rows: u64,
    rejected: Vec<Rejection>,
}

impl IcebergSink {
    /// Builds a sink; nothing is opened yet.
    pub fn new(config: Config, settings: Settings) -> Result<Self, ConfigError> {
        config.validate()?;
        let table = config.table_name()?;
        let started = settings.seams.clock.now();
        Ok(Self { config, table, settings, lake: None, started, open: None })
    }

    /// Returns the table's name.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    async fn reopen(&mut self, cx: &Context) -> Result<(Committer, Layout, Standing), LakeError> {
        let lake = match self.lake.take() {
            Some(lake) => lake,
            None => Lake::open(&self.settings.dir, self.settings.seams.clone()).await?,
        };
        self.lake = Some(lake.clone());
        if lake.find(&self.table).await?.is_none() {
            let (schema, spec) = create(&self.table, &self.config)?;
            lake.create(&self.table, schema, spec).await?;
            info!(table = %self.table, "created table");
        }
        let mut committer =
            Committer::new(lake, self.table.clone(), CommitSettings::of(&self.config));
        let layout = self.fit(cx, &mut committer).await?;
        let standing = committer.standing().await?;
        standing.check_name(&self.table, &self.settings.name)?;
        Ok((committer, layout, standing))
    }

    /// Checks the table against the configuration; adds optional columns that are new.
    async fn fit(&mut self, cx: &Context, committer: &mut Committer) -> Result<Layout, LakeError> {
        let extend = |base: &crate::Version| match fit(&self.table, &self.config, &base.metadata)? {
            Fit::Fits(_) => Ok(None),
            Fit::Extend(schema) => {
                info!(table = %self.table, "adding columns that the configuration has");
                Ok(Some(base.to_builder().add_current_schema(*schema)))
            }
        };
        let version = committer.update(cx, extend).await?;
        match fit(&self.table, &self.config, &version.metadata)? {
            Fit::Fits(layout) => Ok(*layout),
            Fit::Extend(_) => Err(LakeError::Mismatch {
                table: self.table.clone(),
                reason: "its columns changed while it was opened".to_owned(),
            }),
        }
    }

    fn stage(&self, lake: &Lake, layout: &Arc<Layout>) -> Stage {
        let workshop = Workshop {
            io: lake.io().clone(),
            clock: self.settings.seams.clock.clone(),
            file_bytes_max: self.config.file_bytes_max.bytes(),
            handle: Handle::current(),
        };
        Stage::new(Arc::clone(layout), Arc::clone(&self.config.columns), workshop)
    }

    /// Takes what is open out: whoever fails to put it back must reopen.
    fn take(&mut self) -> Result<Open, SinkError> {
        self.open.take().ok_or_else(|| SinkError::new("sink", NotOpen))
    }

    fn positions(&self, open: &Open, map: &PositionMap) -> Vec<SinkPosition> {
        let sink = map.sinks.get(&self.settings.name);
        let position = |partition: &TopicPartition| {
            let stands = sink?.partitions.get(&partition.partition)?;
            Some(SinkPosition {
                partition: partition.clone(),
                next: map.get(&self.settings.name, partition.partition)?,
                rows: stands.rows,
                rejected: stands.rejected,
            })
        };
        open.inputs.keys().filter_map(position).collect()
    }

    async fn store(&mut self, cx: &Context, open: &mut Open) -> Result<SinkCommit, LakeError> {
        let begun = Instant::now();
        let finished = finish(open).await?.map_err(LakeError::table("write files", &self.table))?;
        let change = self.change(open, finished);
        let committed = open.committer.commit(cx, &change).await?;
        self.record(open, &change, &committed, begun).await;
        let rejected = rejects(&change.advances);
        for (partition, input) in &mut open.inputs {
            let from = committed.map.get(&self.settings.name, partition.partition);
            *input = Input { from, ..Input::default() };
        }
        open.staged = Staged::default();
        let positions = self.positions(open, &committed.map);
        Ok(SinkCommit { id: CommitId(committed.id.to_string()), positions, rejected })
    }

    fn change(&self, open: &mut Open, finished: Finished) -> Change {
        let mut change =
            Change { files: finished.files, staged_since: finished.since, ..Change::default() };
        for (TopicPartition { topic, partition }, input) in &mut open.inputs {
            let (sink, partition) = (self.settings.name.clone(), *partition);
            let (Some(first), Some(to)) = (input.first, input.to) else {
                change.unmoved.push(Unmoved { sink, partition, at: input.from });
                continue;
            };
            change.advances.push(Advance {
                sink,
                topic: topic.clone(),
                partition,
                from: input.from,
                first,
                to,
                rows: input.rows,
                rejected: std::mem::take(&mut input.rejected),
            });
        }
        change
    }

    async fn record(
        &mut self,
        open: &mut Open,
        change: &Change,
        committed: &Committed,
        begun: Instant,
    ) {
        // The version was just read back: this look costs one catalog query.
        let snapshots = match open.committer.load().await {
            Ok(version) => version.metadata.snapshots().len() as u64,
            Err(_unknown) => 0,
        };
        let commit = metrics::Commit {
            duration: begun.elapsed(),
            files: change.files.len() as u64,
            bytes: change.files.iter().map(DataFile::file_size_in_bytes).sum(),
            rows: change.advances.iter().map(|advance| advance.rows).sum(),
            rejected: change.advances.iter().map(|advance| advance.rejected.len() as u64).sum(),
            conflicts: committed.conflicts,
            snapshots,
        };
        commit.record(&self.table);
    }

    /// Removes orphans when that is due. It failing is no failure of the commit before it.
    async fn maintain(&mut self, cx: &Context, open: &mut Open) {
        if !open.committer.orphans_due(self.started) {
            return;
        }
        match open.committer.remove_orphans(cx).await {
            Ok(removed) => {
                metrics::removed_orphans(&self.table, removed.files);
                info!(table = %self.table, files = removed.files, bytes = removed.bytes,
                    "removed files that no version names");
            }
            Err(error) => warn!(table = %self.table, error = &error as &dyn std::error::Error,
                "orphans were not removed"),
        }
    }
}

#[async_trait]
impl Sink for IcebergSink {
    async fn open(
        &mut self,
        cx: &Context,
        inputs: &[TopicPartition],
    ) -> Result<SinkOpened, SinkError> {
        self.open = None;
        let (committer, layout, standing) =
            self.reopen(cx).await.map_err(|error| SinkError::new("open table", error))?;
        let Standing { map, commit, rejected } = standing;
        let input = |partition: &TopicPartition| {
            let from = map.get(&self.settings.name, partition.partition);
            (partition.clone(), Input { from, ..Input::default() })
        };
        let layout = Arc::new(layout);
        let stage = self.stage(committer.lake(), &layout);
        let open = Open {
            committer,
            stage: Some(stage),
            inputs: inputs.iter().map(input).collect(),
            staged: Staged::default(),
        };
        let positions = self.positions(&open, &map);
        let pending = self.pending(&map, &rejected);
        let last_commit = commit.map(|id| (CommitId(id.to_string()), pending));
        self.open = Some(open);
        Ok(SinkOpened { positions, last_commit })
    }

    async fn write(
        &mut self,
        cx: &Context,
        partition: &TopicPartition,
        batch: &OffsetBatch,
        next: LogPosition,
    ) -> Result<(), SinkError> {
        cx.check()?;
        let mut open = self.take()?;
        append(&mut open, partition, batch, next)
            .await
            .and_then(|appended| appended.map_err(LakeError::table("stage rows", &self.table)))
            .map_err(|error| SinkError::new("stage rows", error))?;
        self.open = Some(open);
        Ok(())
    }

    fn staged(&self) -> Staged {
        let staged = self.open.as_ref().map_or_else(Staged::default, |open| open.staged);
        // A long list of rejections would swell the metadata: it counts as a full commit.
        let bytes = if staged.rejected >= REJECTED_MAX { u64::MAX } else { staged.bytes };
        Staged { bytes, ..staged }
    }

    async fn commit(&mut self, cx: &Context) -> Result<SinkCommit, SinkError> {
        let mut open = self.take()?;
        let committed = self.store(cx, &mut open).await;
        let committed = committed.map_err(|error| SinkError::new("commit", error))?;
        self.maintain(cx, &mut open).await;
        self.open = Some(open);
        Ok(committed)
    }
}

impl IcebergSink {
    /// Returns what was rejected of this sink's partitions and may not be a dead letter yet.
    fn pending(&self, map: &PositionMap, rejected: &Rejections) -> Vec<SinkReject> {
        let name = &self.settings.name;
        let (Some(sink), Some(partitions)) = (map.sinks.get(name), rejected.get(name)) else {
            return Vec::new();
        };
        let rejects = partitions.iter().flat_map(|(partition, rejected)| {
            let partition = TopicPartition { topic: sink.topic.clone(), partition: *partition };
            rejected.iter().map(move |rejection| reject(&partition, rejection))
        });
        rejects.collect()
    }
}

fn rejects(advances: &[Advance]) -> Vec<SinkReject> {
    let rejects = advances.iter().flat_map(|advance| {
        let partition =
            TopicPartition { topic: advance.topic.clone(), partition: advance.partition };
        advance.rejected.iter().map(move |rejection| reject(&partition, rejection))
    });
    rejects.collect()
}

fn reject(partition: &TopicPartition, rejection: &Rejection) -> SinkReject {
    SinkReject {
        partition: partition.clone(),
        offset: rejection.offset,
        field: rejection.field.clone(),
        reason: rejection.reason.clone(),
    }
}

/// Stages a batch apart from the worker threads.
async fn append(
    open: &mut Open,
    partition: &TopicPartition,
    batch: &OffsetBatch,
    next: LogPosition,
) -> Result<iceberg::Result<()>, LakeError> {
    let (mut stage, input) = match (open.stage.take(), open.inputs.get_mut(partition)) {
        (Some(stage), Some(input)) => (stage, input),
        _ => unreachable!("the worker writes to the inputs it opened, one call at a time"),
    };
    let (source, records) = (partition.clone(), batch.clone());
    let mut work = spawn_blocking(TaskKind("lake-stage"), move || {
        let appended = stage.append(&source, &records);
        (stage, appended)
    });
    let (stage, appended) = work.join().await?;
    open.stage = Some(stage);
    let appended = match appended {
        Ok(appended) => appended,
        Err(error) => return Ok(Err(error)),
    };
    open.staged.rows += appended.rows;
    open.staged.bytes += appended.bytes;
    open.staged.rejected += appended.rejected.len() as u64;
    open.staged.since.get_or_insert_with(Instant::now);
    input.rows += appended.rows;
    input.rejected.extend(appended.rejected);
    input.first.get_or_insert(batch.first);
    input.to = Some(next);
    Ok(Ok(()))
}

/// Closes the staged files apart from the worker threads.
async fn finish(open: &mut Open) -> Result<iceberg::Result<Finished>, LakeError> {
    let Some(mut stage) = open.stage.take() else {
        unreachable!("a commit follows writes that ended");
    };
    let mut work = spawn_blocking(TaskKind("lake-stage"), move || {
        let finished = stage.finish();
        (stage, finished)
    });
    let (stage, finished) = work.join().await?;
    open.stage = Some(stage);
    Ok(finished)
}

/// A sink was used before it was opened, or after an error without opening it again.
#[derive(Debug, thiserror::Error)]
#[error("sink is not open")]
struct NotOpen;

impl millstream_model::Classify for NotOpen {
    fn class(&self) -> millstream_model::ErrorClass {
        millstream_model::ErrorClass::Bug
    }
}
