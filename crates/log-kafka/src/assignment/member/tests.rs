use millstream_model::TopicName;
use rdkafka::ClientConfig;

use super::*;

const TASK: &str = "app.pipeline.clean.0";

/// A member of a group whose brokers are away, and what it tells the worker.
fn member() -> (BaseConsumer<MemberContext>, mpsc::Receiver<AssignmentEvent>) {
    let settings = GroupSettings {
        group: "app.pipeline.clean".to_owned(),
        topics: vec![TopicName::new("events").expect("a legal name")],
        task_of: Box::new(|_| TaskId::new(TASK).ok()),
    };
    let handover = Arc::new(Handover::new(&Config::default()));
    let (sender, events) = mpsc::channel(1);
    let group = Group::new(settings, Names::new("", "app"), sender, handover);
    let mut client = ClientConfig::new();
    client.set("group.id", "app.pipeline.clean").set("bootstrap.servers", "127.0.0.1:1");
    let consumer = client.create_with_context(MemberContext(Arc::new(group)));
    (consumer.expect("a client needs no broker"), events)
}

fn list(partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition("events", *partition);
    }
    list
}

#[test]
fn partitions_that_are_taken_over_are_told_to_the_worker() {
    let (consumer, mut events) = member();
    let group = Arc::clone(&consumer.context().0);
    group.assign(&consumer, &mut list(&[0]));
    let task = TaskId::new(TASK).expect("a legal id");
    assert!(group.not_taken().is_none());
    assert_eq!(events.try_recv().ok(), Some(AssignmentEvent::Assigned(vec![task])));
}

#[test]
fn partitions_that_cannot_be_taken_over_end_the_member_and_are_told_to_nobody() {
    let (consumer, mut events) = member();
    let group = Arc::clone(&consumer.context().0);
    // What no group does, and the client refuses.
    group.assign(&consumer, &mut list(&[0, 0]));
    assert!(group.not_taken().is_some());
    assert!(events.try_recv().is_err());
    assert!(group.owned().tasks.is_empty());
}

#[test]
fn a_partition_that_cannot_be_paused_is_a_failure() {
    let (consumer, _events) = member();
    assert!(pause(&consumer, &list(&[7])).is_err());
    let mine = list(&[0]);
    consumer.assign(&mine).expect("the client takes it");
    assert!(pause(&consumer, &mine).is_ok());
}
