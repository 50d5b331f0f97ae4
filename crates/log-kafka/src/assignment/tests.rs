use super::*;
use crate::config::Config;

fn partition(topic: &str, number: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).unwrap(), number)
}

fn task(number: u32) -> TaskId {
    TaskId::new(&format!("app.pipeline.clean.{number}")).unwrap()
}

#[test]
fn a_task_of_two_partitions_is_taken_once_and_given_with_the_first_of_them() {
    let mut owned = Owned::default();
    let left = (task(1), partition("left", 1));
    let right = (task(1), partition("right", 1));
    assert_eq!(owned.take(vec![left.clone(), right.clone()]), [task(1)]);
    assert!(owned.take(vec![left.clone()]).is_empty());
    assert_eq!(owned.give(&[right]), [task(1)]);
    assert!(owned.give(std::slice::from_ref(&left)).is_empty());
    assert_eq!(owned.take(vec![left]), [task(1)]);
}

#[test]
fn a_release_is_waited_for_task_by_task() {
    let handover = Arc::new(Handover::new(&Config::default()));
    handover.expect(&[task(1), task(2)]);
    let worker = handover.clone();
    let thread = thread::spawn(move || {
        worker.release(&[task(2)]);
        worker.release(&[task(1)]);
    });
    assert!(handover.wait(|| false).is_empty());
    thread.join().unwrap();
}

#[test]
fn a_wait_for_a_release_ends_when_the_partitions_are_lost() {
    let handover = Handover::new(&Config::default());
    handover.expect(&[task(1), task(2)]);
    handover.release(&[task(1)]);
    assert_eq!(handover.wait(|| true).into_iter().collect::<Vec<_>>(), [task(2)]);
    assert!(handover.wait(|| true).is_empty(), "what was not released is told once");
}
