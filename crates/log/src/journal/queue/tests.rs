//! What is admitted, and what is committed together.

use std::time::Duration;

use bytes::Bytes;
use millstream_model::{ByteSize, Epoch, PartitionId, TaskId, TopicName, TopicPartition};
use tokio::sync::oneshot;

use super::{Next, Queue, Refusal};
use crate::contract::Append;
use crate::journal::Config;
use crate::journal::change::Producer;
use crate::journal::codec::PartitionKey;
use crate::journal::request::{
    Admitted, AppendRequest, Control, Piece, Request, TransactRequest, Work,
};

fn queue() -> Queue {
    Queue::new(&Config {
        queue_bytes_max: ByteSize(10_000),
        queue_items_max: 16,
        group_bytes_max: ByteSize(5000),
        ..Config::default()
    })
}

fn piece(bytes: usize) -> Piece {
    Piece {
        key: PartitionKey { topic: 1, partition: PartitionId(0) },
        partition: TopicPartition::new(TopicName::new("events").unwrap(), 0),
        bytes: Bytes::from(vec![0; bytes]),
        count: 1,
        crc: None,
    }
}

fn append(queue: &Queue, bytes: usize) -> Result<(), Refusal> {
    let share = queue.try_share(bytes)?;
    let (done, _append) = Append::channel();
    let work = Work::Append(AppendRequest { pieces: vec![piece(bytes)], done });
    queue.push_append(Admitted { work, share })
}

fn transact(queue: &Queue, task: u64) {
    let request = TransactRequest {
        task: TaskId::new("task").unwrap(),
        producer: Producer { task, epoch: Epoch(1), sequence: 1 },
        pieces: vec![],
        consumed: vec![],
        positions: vec![],
        done: oneshot::channel().0,
    };
    let share = queue.try_share(0).unwrap();
    queue.push_awaited(Request::Work(Admitted { work: Work::Transact(request), share })).unwrap();
}

fn next_group(queue: &Queue) -> usize {
    match queue.next(Duration::ZERO) {
        Next::Group(group) => group.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_are_bounded_until_they_are_settled() {
    let queue = queue();
    while append(&queue, 1000).is_ok() {}
    assert_eq!(append(&queue, 1000), Err(Refusal::Full));
    let group = queue.next(Duration::ZERO);
    assert_eq!(append(&queue, 1000), Err(Refusal::Full), "taken is not settled");
    drop(group);
    append(&queue, 1000).unwrap();
}

#[test]
fn items_are_bounded() {
    let queue = queue();
    for _ in 0..16 {
        append(&queue, 1).unwrap();
    }
    assert_eq!(append(&queue, 1), Err(Refusal::Full));
}

#[test]
fn a_group_is_bounded_by_bytes() {
    let queue = queue();
    for _ in 0..6 {
        append(&queue, 1000).unwrap();
    }
    assert_eq!((next_group(&queue), next_group(&queue)), (3, 3));
    assert!(matches!(queue.next(Duration::ZERO), Next::Idle));
}

#[test]
fn a_group_holds_one_transaction_of_each_task_and_no_control_request() {
    let queue = queue();
    transact(&queue, 1);
    transact(&queue, 2);
    transact(&queue, 1);
    let (done, _answer) = oneshot::channel();
    queue.push_awaited(Request::Control(Control::Maintain { done })).unwrap();
    transact(&queue, 1);
    assert_eq!((next_group(&queue), next_group(&queue)), (2, 1));
    assert!(matches!(queue.next(Duration::ZERO), Next::Control(_)));
    assert_eq!(next_group(&queue), 1);
}

#[test]
fn a_closed_queue_gives_out_what_waits_and_takes_nothing() {
    let queue = queue();
    append(&queue, 1).unwrap();
    queue.close();
    assert_eq!(append(&queue, 1), Err(Refusal::Closed));
    assert_eq!(next_group(&queue), 1);
    assert!(matches!(queue.next(Duration::ZERO), Next::Closed));
}
