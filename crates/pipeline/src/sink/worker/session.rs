//! One ownership of a sink's tasks: from `open` to the first doubt, or to the drain.

use std::time::Duration;

use millstream_log::{Fetched, LogReader};
use millstream_model::{LogPosition, Offset, TopicPartition};
use millstream_runtime::Context;
use tokio::time::Instant;

use super::super::{Sink, SinkCommit, SinkError, SinkPosition, SinkReject};
use super::intake::Intake;
use super::placement::place;
use super::register::{OwnedTask, Registrar, Stored};
use super::trail::Trail;
use super::{SinkWorker, identity};
use crate::attempt::{GAP_INTERVAL, finish};
use crate::counts::Counts;
use crate::failure::Failure;
use crate::status::{InputStatus, TaskState};

/// How long an idle worker waits at once: only how often it wakes up.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(1);

/// What an owner holds; all of it is dropped at the first doubt.
struct Session {
    tasks: Vec<OwnedTask>,
    intake: Intake,
    /// When gaps were registered last.
    gaps_registered: Option<Instant>,
    /// Which requests brought what is staged.
    trail: Trail,
}

impl Session {
    /// Returns how far the partitions came that have something to be registered.
    fn moved(&self) -> Vec<(TopicPartition, LogPosition)> {
        let moved = self.tasks.iter().enumerate().filter_map(|(place, owned)| {
            let (reached, _) = self.intake.reached(place);
            let registered = owned.committed.consumed.get(&owned.task.input);
            let is_moved = registered.is_none_or(|before| before.offset < reached.offset);
            is_moved.then(|| (owned.task.input.clone(), reached))
        });
        moved.collect()
    }
}

impl<S: Sink> SinkWorker<S> {
    /// Owns the tasks until the worker is to stop (`Ok`) or in doubt.
    pub(super) async fn session(&mut self, cx: &Context) -> Result<(), Failure> {
        if !self.attempts.is_failing() {
            self.reporter.set(TaskState::Opening);
        }
        let mut session = match self.open(cx).await {
            Ok(session) => session,
            Err(_) if cx.is_cancelled() => return Ok(()),
            Err(failure) => return Err(failure),
        };
        // Opened, and nothing to do yet: the first fetch may wait.
        self.reporter.set_unless(TaskState::Idle, self.attempts.is_failing());
        while !cx.is_cancelled() {
            let wait = self.wait_max();
            if wait.is_zero() {
                self.commit(cx, &mut session).await?;
                continue;
            }
            let Ok(fetched) = cx.run(session.intake.fetch(cx, wait)).await else { break };
            match fetched {
                Ok(Some((place, fetched))) => {
                    let input = session.tasks[place].task.input.clone();
                    self.write(cx, &input, &fetched).await?;
                    fetched.batches.iter().for_each(|batch| session.trail.add(batch));
                }
                Ok(None) => self.idle(cx, &mut session).await?,
                Err(_) if cx.is_cancelled() => break,
                Err(error) => return Err(Failure::of("fetch", &error)),
            }
        }
        self.reporter.set(TaskState::Draining);
        self.commit(cx, &mut session).await
    }

    async fn open(&mut self, cx: &Context) -> Result<Session, Failure> {
        let mut tasks = Vec::with_capacity(self.settings.tasks.len());
        for task in &self.settings.tasks {
            let opened = self.log.open(cx, &task.owner()).await;
            let opened = opened.map_err(|error| Failure::of("open", &error))?;
            let (writer, committed) = (opened.writer, opened.committed);
            tasks.push(OwnedTask { task: task.clone(), writer, committed, stored: None });
        }
        let inputs: Vec<_> = tasks.iter().map(|owned| owned.task.input.clone()).collect();
        let stored = self.sink.open(cx, &inputs).await;
        let stored = stored.map_err(|error| sink_failure(&error))?;
        let mut places = Vec::with_capacity(tasks.len());
        let mut statuses = Vec::with_capacity(tasks.len());
        for (input, owned) in inputs.iter().zip(&mut tasks) {
            let position = stored.positions.iter().find(|position| position.partition == *input);
            let (reader, from, end) = self.start_reading(cx, owned, position).await?;
            places.push((reader, from, end));
            statuses.push(InputStatus { partition: input.clone(), next: from.offset, end });
        }
        if let Some((id, rejected)) = stored.last_commit {
            let commit = SinkCommit { id, positions: stored.positions, rejected };
            self.register(cx, &mut tasks, &commit).await?;
        }
        // Only now: a position counts as dealt with when its dead letters are written.
        self.reporter.update(|status| status.inputs = statuses);
        let bytes_max = usize::try_from(self.settings.config.batch_bytes_max.bytes());
        let intake = Intake::new(places, bytes_max.unwrap_or(usize::MAX));
        Ok(Session { tasks, intake, gaps_registered: None, trail: Trail::default() })
    }

    /// Starts reading one partition where the sink ended.
    async fn start_reading(
        &self,
        cx: &Context,
        owned: &mut OwnedTask,
        position: Option<&SinkPosition>,
    ) -> Result<(Box<dyn LogReader>, LogPosition, Offset), Failure> {
        let input = &owned.task.input;
        let bounds = self.log.bounds(cx, input).await;
        let bounds = bounds.map_err(|error| Failure::of("open", &error))?;
        let from = place(input, &owned.committed, position, bounds.start);
        let from = from.map_err(|error| Failure::of("open", &error))?;
        let reader = self.log.reader(cx, input, from).await;
        let reader = reader.map_err(|error| Failure::of("open", &error))?;
        Ok((reader, from, bounds.end.offset))
    }

    /// Stages what was fetched.
    async fn write(
        &mut self,
        cx: &Context,
        partition: &TopicPartition,
        fetched: &Fetched,
    ) -> Result<(), Failure> {
        self.reporter.set_unless(TaskState::Running, self.attempts.is_failing());
        let config = &self.settings.config;
        // A commit never comes between the batches of one fetch: the position that counts is that
        // of the last, which alone is known in full.
        let last = fetched.batches.len() - 1;
        for (at, batch) in fetched.batches.iter().enumerate() {
            let next = if at == last {
                fetched.next
            } else {
                LogPosition { offset: batch.end(), ..fetched.next }
            };
            let inner = Context::background().with_timeout(config.commit_time_max);
            let work = self.sink.write(&inner, partition, batch, next);
            let written = finish(cx, &inner, config.drain_timeout, work).await;
            written.map_err(|error| sink_failure(&error))?;
        }
        self.reporter.update(|status| {
            let mut inputs = status.inputs.iter_mut();
            if let Some(input) = inputs.find(|input| input.partition == *partition) {
                input.end = fetched.end;
            }
        });
        Ok(())
    }

    /// Commits what is staged, if anything is, and registers it in the log.
    async fn commit(&mut self, cx: &Context, session: &mut Session) -> Result<(), Failure> {
        let staged = self.sink.staged();
        if staged.is_empty() {
            return Ok(());
        }
        let config = &self.settings.config;
        let began = Instant::now();
        let inner = Context::background().with_timeout(config.commit_time_max);
        let sources = identity::check(&*self.log, &inner, session.moved());
        let sources = finish(cx, &inner, config.drain_timeout, sources).await;
        sources.map_err(|error| Failure::of("commit", &error))?;
        let work = self.sink.commit(&inner);
        let commit = finish(cx, &inner, config.drain_timeout, work).await;
        let commit = commit.map_err(|error| sink_failure(&error))?;
        crate::metrics::sink_committed(&self.settings.sink, staged.rows, began.elapsed());
        let trail = std::mem::take(&mut session.trail);
        trail.committed(&self.settings.sink, &commit.id, self.reporter.now());
        self.register(cx, &mut session.tasks, &commit).await?;
        self.attempts.progress();
        self.reporter.set_unless(TaskState::Running, cx.is_cancelled());
        Ok(())
    }

    /// Registers a commit, partition by partition, and shows it.
    async fn register(
        &mut self,
        cx: &Context,
        tasks: &mut [OwnedTask],
        commit: &SinkCommit,
    ) -> Result<(), Failure> {
        let mut registrar = self.registrar();
        for owned in tasks {
            let input = &owned.task.input;
            let stored = commit.positions.iter().find(|position| position.partition == *input);
            // A partition that the sink never stored has nothing to register.
            let Some(stored) = stored else { continue };
            let rejected = rejected_of(commit, stored);
            let stored = Stored { position: stored, commit: &commit.id, rejected };
            registrar.register(cx, owned, stored).await?;
        }
        self.show(commit);
        Ok(())
    }

    fn registrar(&mut self) -> Registrar<'_> {
        Registrar {
            log: &*self.log,
            settings: &self.settings,
            reporter: &self.reporter,
            attempts: &mut self.attempts,
            letters_bytes_max: &mut self.letters_bytes_max,
        }
    }

    fn show(&self, commit: &SinkCommit) {
        self.reporter.update(|status| {
            let mut counts = Counts::default();
            for SinkPosition { partition, next, rows, rejected } in &commit.positions {
                counts.add(&Counts {
                    read: rows + rejected,
                    written: *rows,
                    rejected: *rejected,
                    ..Counts::default()
                });
                let inputs = &mut status.inputs;
                if let Some(input) = inputs.iter_mut().find(|input| input.partition == *partition) {
                    // Past control records the log's position is further.
                    input.next = input.next.max(next.offset);
                    input.end = input.end.max(next.offset);
                }
            }
            status.counts = counts;
            crate::metrics::lag(status);
        });
    }

    /// Returns how long to wait for records: zero when a commit is due.
    fn wait_max(&self) -> Duration {
        let config = &self.settings.config;
        let staged = self.sink.staged();
        let Some(since) = staged.since.filter(|_| !staged.is_empty()) else {
            return FETCH_WAIT_MAX;
        };
        let is_large = staged.bytes >= config.commit_bytes_max.bytes()
            || staged.rows + staged.rejected >= config.commit_rows_max;
        if is_large {
            return Duration::ZERO;
        }
        config.commit_interval.saturating_sub(since.elapsed()).min(FETCH_WAIT_MAX)
    }

    /// Shows that nothing waits, and registers that control records alone were read since.
    async fn idle(&mut self, cx: &Context, session: &mut Session) -> Result<(), Failure> {
        if !self.sink.staged().is_empty() {
            return Ok(());
        }
        self.attempts.progress();
        self.reporter.set(TaskState::Idle);
        let Session { tasks, intake, gaps_registered, .. } = session;
        if gaps_registered.is_none_or(|at| at.elapsed() >= GAP_INTERVAL) {
            *gaps_registered = Some(Instant::now());
            let mut registrar = self.registrar();
            for (place, owned) in tasks.iter_mut().enumerate() {
                registrar.register_gap(cx, owned, intake.reached(place).0).await?;
            }
        }
        self.reporter.update(|status| {
            for (place, input) in status.inputs.iter_mut().enumerate() {
                // Everything before is stored: nothing is staged.
                let (reached, end) = intake.reached(place);
                (input.next, input.end) = (reached.offset, end);
            }
            crate::metrics::lag(status);
        });
        Ok(())
    }
}

/// Returns the records of one partition that a commit rejected, by offset.
fn rejected_of<'c>(commit: &'c SinkCommit, stored: &SinkPosition) -> Vec<&'c SinkReject> {
    let all = commit.rejected.iter();
    let mut rejected: Vec<_> = all.filter(|reject| reject.partition == stored.partition).collect();
    rejected.sort_by_key(|reject: &&SinkReject| -> Offset { reject.offset });
    rejected
}

fn sink_failure(error: &SinkError) -> Failure {
    Failure::of(error.action, error)
}
