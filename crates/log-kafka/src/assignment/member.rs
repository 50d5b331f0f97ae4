//! A member of a consumer group, on a thread that only polls.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_log::AssignmentEvent;
use millstream_model::{TaskId, TopicPartition};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{GroupSettings, Owned};
use crate::client::Connection;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::error::{KafkaError, Reason};
use crate::metrics;
use crate::names::Names;

/// How long one poll of the group waits; a stop is seen that much later.
const POLL: Duration = Duration::from_millis(100);

/// How often the wait for a release looks whether the partitions are lost already.
const RELEASE_POLL: Duration = Duration::from_millis(50);

/// How long to wait before joining again after an error.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);

/// After how long without an error a member is taken to be well again.
const QUIET: Duration = Duration::from_secs(10);

/// What a member does when something goes wrong, for errors.
const JOINING: &str = "join a group";

/// What the worker tells the member.
#[derive(Debug)]
pub(super) struct Handover {
    state: Mutex<State>,
    changed: Condvar,
    /// How long the worker may take to drain and release its tasks.
    release_time_max: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// The tasks whose release is waited for.
    awaited: BTreeSet<TaskId>,
    stopped: bool,
}

impl Handover {
    pub(super) fn new(config: &Config) -> Self {
        // The transaction on its way, and the one that drains what is in memory.
        let release_time_max = config.transaction_time_max * 2;
        Self { state: Mutex::default(), changed: Condvar::new(), release_time_max }
    }

    /// Ends the member.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Ends the revocation of tasks.
    pub(super) fn release(&self, tasks: &[TaskId]) {
        let mut state = self.lock();
        for task in tasks {
            state.awaited.remove(task);
        }
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    pub(super) fn expect(&self, tasks: &[TaskId]) {
        self.lock().awaited = tasks.iter().cloned().collect();
    }

    /// Waits until every expected task is released; tells the ones that are not.
    pub(super) fn wait(&self, is_lost: impl Fn() -> bool) -> BTreeSet<TaskId> {
        let deadline = Instant::now() + self.release_time_max;
        let mut state = self.lock();
        while !state.awaited.is_empty() && !state.stopped && Instant::now() < deadline {
            let waited = self.changed.wait_timeout(state, RELEASE_POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if is_lost() {
                break;
            }
        }
        std::mem::take(&mut state.awaited)
    }

    fn pause(&self) {
        let state = self.lock();
        if !state.stopped {
            // Woken early or not: the loop looks again.
            drop(self.changed.wait_timeout(state, REJOIN_PAUSE));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who places the partitions of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// The coordinator, and only what moves is taken away (KIP-848; brokers from 4.0 on).
    Coordinator,
    /// A member of the group.
    Classic,
}

/// A member of a group, before its thread runs it.
pub(super) struct Member {
    cluster: Arc<Cluster>,
    group: Arc<Group>,
}

impl Member {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        settings: GroupSettings,
        events: mpsc::Sender<AssignmentEvent>,
        handover: Arc<Handover>,
    ) -> Self {
        let names = cluster.names.clone();
        Self { cluster, group: Arc::new(Group::new(settings, names, events, handover)) }
    }

    /// Returns why the group cannot be joined, now and later.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.group.trouble.subscribe()
    }

    /// Polls until the assignment is dropped.
    pub(super) fn run(self) {
        let mut protocol = Protocol::Coordinator;
        while !self.group.handover.is_stopped() {
            match self.join(protocol) {
                Ok(()) => {}
                Err(error) if is_unsupported(&error) && protocol == Protocol::Coordinator => {
                    let group = &self.group.settings.group;
                    tracing::info!(%group, "the brokers lack the new group protocol; the classic one serves");
                    protocol = Protocol::Classic;
                }
                Err(error) => {
                    let error = KafkaError::new(JOINING, error, &self.group.connection);
                    tracing::warn!(%error, "a group cannot be joined; it is tried again");
                    metrics::member_failed();
                    self.group.show(Some(error.to_string()));
                    self.group.lose_all();
                    self.group.handover.pause();
                }
            }
        }
        self.group.lose_all();
    }

    fn join(&self, protocol: Protocol) -> KafkaResult<()> {
        let context = MemberContext(self.group.clone());
        let consumer: BaseConsumer<MemberContext> =
            self.config(protocol).create_with_context(context)?;
        let names = &self.group.names;
        let topics: Vec<_> =
            self.group.settings.topics.iter().map(|topic| names.topic(topic)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let mut quiet_since = Instant::now();
        while !self.group.handover.is_stopped() {
            let polled = consumer.poll(POLL);
            if let Some(error) = self.group.not_taken().take() {
                return Err(error);
            }
            match polled {
                // Partitions are paused at once, but a record may slip in before that.
                None | Some(Ok(_)) => {
                    let trouble = self.group.silent_trouble();
                    if trouble.is_some() || quiet_since.elapsed() >= QUIET {
                        self.group.show(trouble);
                    }
                }
                Some(Err(error)) if is_final(&error) => return Err(error),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a group member's poll");
                    quiet_since = Instant::now();
                    let error = KafkaError::new(JOINING, error, &self.group.connection);
                    self.group.show(Some(error.to_string()));
                }
            }
        }
        Ok(())
    }

    fn config(&self, protocol: Protocol) -> rdkafka::ClientConfig {
        let (config, settings) = (&self.cluster.config, &self.group.settings);
        let group = self.group.names.group_named(&settings.group);
        let mut client = self.cluster.clients.member(&group);
        let (session, heartbeat) = (config.session_time_max, config.heartbeat_interval());
        // Only a release waits inside a poll.
        let poll_max = (self.group.handover.release_time_max * 2).max(session);
        client.set("max.poll.interval.ms", poll_max.as_millis().to_string());
        match protocol {
            Protocol::Coordinator => {
                client.set("group.protocol", "consumer").set("group.remote.assignor", "range");
            }
            Protocol::Classic => {
                // Only range places partition i of several topics at the same member.
                let is_alone = settings.topics.len() == 1;
                let strategy = if is_alone { "cooperative-sticky" } else { "range" };
                client
                    .set("group.protocol", "classic")
                    .set("partition.assignment.strategy", strategy)
                    .set("session.timeout.ms", session.as_millis().to_string())
                    .set("heartbeat.interval.ms", heartbeat.as_millis().to_string());
            }
        }
        client
    }
}

/// What the callbacks of a member work with.
struct Group {
    settings: GroupSettings,
    names: Names,
    events: mpsc::Sender<AssignmentEvent>,
    handover: Arc<Handover>,
    owned: Mutex<Owned>,
    connection: Arc<Connection>,
    /// Why partitions that the group gave us were not taken over: nobody else works on them, so
    /// this member leaves, and the group places them anew.
    not_taken: Mutex<Option<ClientError>>,
    /// Why the group cannot be joined, for whoever looks.
    trouble: watch::Sender<Option<String>>,
}

impl Group {
    fn new(
        settings: GroupSettings,
        names: Names,
        events: mpsc::Sender<AssignmentEvent>,
        handover: Arc<Handover>,
    ) -> Self {
        let connection = Connection::new("member");
        let (owned, not_taken, trouble) =
            (Mutex::default(), Mutex::default(), watch::Sender::new(None));
        Self { settings, names, events, handover, owned, connection, not_taken, trouble }
    }

    fn not_taken(&self) -> MutexGuard<'_, Option<ClientError>> {
        self.not_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owned(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|shown| {
            let is_new = *shown != trouble;
            *shown = trouble;
            is_new
        });
    }

    /// Returns what is wrong with the connection, which polls do not say.
    fn silent_trouble(&self) -> Option<String> {
        let trouble = self.connection.trouble()?;
        Some(KafkaError::found(JOINING, Reason::from(trouble)).to_string())
    }

    /// Tells the worker; waits while it has too many changes to deal with.
    fn tell(&self, event: AssignmentEvent) {
        // The worker says it where it happens.
        tracing::debug!(group = self.settings.group, ?event, "the group's assignment changes");
        if self.events.blocking_send(event).is_err() {
            // Nobody listens any more: the assignment was dropped.
            self.handover.stop();
        }
    }

    fn lose_all(&self) {
        let owned = std::mem::take(&mut *self.owned());
        let tasks: Vec<_> = owned.tasks.into_keys().collect();
        if !tasks.is_empty() && !self.handover.is_stopped() {
            self.tell(AssignmentEvent::Lost(tasks));
        }
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<(TaskId, TopicPartition)> {
        let named = list.elements().into_iter().filter_map(|element| {
            let topic = self.names.own_topic(element.topic())?;
            let partition = u32::try_from(element.partition()).ok()?;
            Some(TopicPartition::new(topic, partition))
        });
        named.filter_map(|named| Some(((self.settings.task_of)(&named)?, named))).collect()
    }

    fn assign(&self, consumer: &BaseConsumer<MemberContext>, list: &mut TopicPartitionList) {
        // Without an offset of its own the client would look for one, and refuse to find none.
        let set = list.set_all_offsets(rdkafka::Offset::Offset(0));
        let assigned = set.and_then(|()| match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
        });
        if let Err(error) = assigned.and_then(|()| pause(consumer, list)) {
            *self.not_taken() = Some(error);
            return;
        }
        // The coordinator answers.
        self.connection.on_success();
        self.show(None);
        let tasks = self.owned().take(self.partitions(list));
        if !tasks.is_empty() {
            self.tell(AssignmentEvent::Assigned(tasks));
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<MemberContext>, list: &TopicPartitionList) {
        let tasks = self.owned().give(&self.partitions(list));
        if consumer.assignment_lost() {
            self.lose(tasks);
        } else if !tasks.is_empty() && !self.handover.is_stopped() {
            self.handover.expect(&tasks);
            self.tell(AssignmentEvent::Revoke(tasks));
            let left = self.handover.wait(|| consumer.assignment_lost());
            if !left.is_empty() {
                tracing::warn!(?left, "tasks were not released in time; others take them");
                self.lose(left.into_iter().collect());
            }
        }
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        };
        if let Err(error) = unassigned {
            tracing::warn!(%error, "partitions of a group were not given back");
        }
    }

    fn lose(&self, tasks: Vec<TaskId>) {
        if !tasks.is_empty() && !self.handover.is_stopped() {
            self.tell(AssignmentEvent::Lost(tasks));
        }
    }
}

/// Pauses partitions: the call itself always succeeds, each of them says whether it is paused.
fn pause(consumer: &BaseConsumer<MemberContext>, list: &TopicPartitionList) -> KafkaResult<()> {
    consumer.pause(list)?;
    list.elements().iter().try_for_each(|element| element.error())
}

struct MemberContext(Arc<Group>);

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.connection.on_log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.0.connection.on_error(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        change: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match change {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.0.assign(consumer, list),
            _ => self.0.revoke(consumer, list),
        }
    }
}

/// Tells whether the brokers lack the new protocol.
fn is_unsupported(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnsupportedFeature | Code::UnsupportedVersion | Code::UnsupportedAssignor)
    )
}

/// Tells whether the member is of no use any more.
fn is_final(error: &ClientError) -> bool {
    let refused = matches!(
        error.rdkafka_error_code(),
        Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed)
    );
    matches!(error, ClientError::MessageConsumptionFatal(_)) || is_unsupported(error) || refused
}

#[cfg(test)]
mod tests;
