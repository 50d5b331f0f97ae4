use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use async_trait::async_trait;
use millstream_log::{AssignmentEvent, EveryTask};
use millstream_runtime::Cancelled;
use tokio::sync::mpsc;

use super::*;

/// What tasks of these tests say, in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Started(String),
    Drained(String),
}

/// Says so when a task is dropped without having drained.
struct Life {
    name: String,
    said: SyncSender<Said>,
}

/// An assignment that a test moves.
struct Scripted {
    events: mpsc::Receiver<AssignmentEvent>,
    released: SyncSender<Vec<TaskId>>,
}

#[async_trait]
impl Assignment for Scripted {
    async fn next(&mut self, cx: &Context) -> Result<AssignmentEvent, Cancelled> {
        tokio::select! {
            Some(event) = self.events.recv() => Ok(event),
            cancelled = cx.cancelled() => Err(cancelled),
        }
    }

    async fn released(&mut self, _cx: &Context, tasks: &[TaskId]) -> Result<(), Cancelled> {
        self.released.send(tasks.to_vec()).expect("the test listens");
        Ok(())
    }
}

/// Another assignment, and what a test says is its trouble.
struct Troubled(Box<dyn Assignment>, watch::Receiver<Option<String>>);

#[async_trait]
impl Assignment for Troubled {
    async fn next(&mut self, cx: &Context) -> Result<AssignmentEvent, Cancelled> {
        self.0.next(cx).await
    }

    async fn released(&mut self, cx: &Context, tasks: &[TaskId]) -> Result<(), Cancelled> {
        self.0.released(cx, tasks).await
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.1.clone()
    }
}

fn ids(names: &[&str]) -> Vec<TaskId> {
    names.iter().map(|name| TaskId::new(name).expect("a legal id")).collect()
}

fn task(
    name: &str,
    pin: u32,
    start: impl FnOnce(Context) -> TaskFuture + Send + 'static,
) -> PinnedTask {
    let id = TaskId::new(name).expect("a legal id");
    let (_, status) = watch::channel(TaskStatus::new(id));
    let kind = TaskKind("test");
    PinnedTask { name: name.to_owned(), kind, pin, status, start: Box::new(start) }
}

/// A group of tasks that all run from the beginning.
fn every(tasks: Vec<PinnedTask>) -> Group {
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let assignment = Box::new(EveryTask::new(ids(&names)));
    let mut tasks = tasks;
    let make = move |wanted: &[TaskId]| {
        let name = wanted[0].as_str();
        let at = tasks.iter().position(|task| task.name == name).ok_or("made once already")?;
        Ok(tasks.remove(at))
    };
    let name = "every".to_owned();
    Group { name, assignment, grouping: Grouping::Each, make: Box::new(make) }
}

/// A group whose tasks say what becomes of them, and what moves it.
fn scripted(
    grouping: Grouping,
) -> (Group, mpsc::Sender<AssignmentEvent>, Receiver<Vec<TaskId>>, Receiver<Said>) {
    let (events, incoming) = mpsc::channel(8);
    let (tx, released) = sync_channel(8);
    let (said, says) = sync_channel(64);
    let make = move |wanted: &[TaskId]| {
        let names: Vec<&str> = wanted.iter().map(TaskId::as_str).collect();
        let life = Life { name: names.join("+"), said: said.clone() };
        Ok(task("unit", 0, move |cx| Box::pin(live(cx, life))))
    };
    let assignment = Box::new(Scripted { events: incoming, released: tx });
    let group = Group { name: "scripted".to_owned(), assignment, grouping, make: Box::new(make) };
    (group, events, released, says)
}

async fn live(cx: Context, life: Life) -> Result<(), Failure> {
    life.said.send(Said::Started(life.name.clone())).expect("the test listens");
    cx.cancelled().await;
    life.said.send(Said::Drained(life.name.clone())).expect("the test listens");
    Ok(())
}

/// Waits for as many messages as asked for.
async fn hear<T>(from: &Receiver<T>, count: usize) -> Vec<T> {
    let mut heard = Vec::new();
    while heard.len() < count {
        heard.extend(from.try_iter());
        tokio::task::yield_now().await;
    }
    heard
}

fn started(name: &str) -> Said {
    Said::Started(name.to_owned())
}

fn drained(name: &str) -> Said {
    Said::Drained(name.to_owned())
}

fn thread_name() -> Option<String> {
    std::thread::current().name().map(str::to_owned)
}

#[tokio::test]
async fn tasks_stay_on_the_thread_of_their_partition_and_end_with_the_context() {
    let (tx, rx) = sync_channel(8);
    let cx = Context::background();
    let tasks = (0..4).map(|pin| {
        let tx = tx.clone();
        task(&format!("t{pin}"), pin, move |cx| {
            Box::pin(async move {
                tx.send((pin, thread_name())).expect("the test listens");
                cx.cancelled().await;
                tx.send((pin, thread_name())).expect("the test listens");
                Ok(())
            })
        })
    });
    let worker = Worker::new(Settings { threads: 2 }, vec![every(tasks.collect())]);
    let stop = async {
        hear(&rx, 4).await;
        cx.cancel();
    };
    let (errors, ()) = tokio::join!(worker.run(&cx), stop);
    assert!(errors.is_empty(), "{errors:?}");
    let mut ended: Vec<_> = rx.try_iter().collect();
    ended.sort();
    for (pin, thread) in ended {
        assert_eq!(thread, Some(format!("ms-task-{}", pin % 2)));
    }
}

#[tokio::test]
async fn failures_and_panics_are_named_and_do_not_end_the_others() {
    let failure = || Failure::of_record("clean", ErrorClass::Corrupt, "torn".to_owned());
    let cx = Context::background();
    let tasks = vec![
        task("fails", 0, move |_cx| Box::pin(async move { Err(failure()) })),
        task("panics", 0, |_cx| Box::pin(async { panic!("a bug of ours") })),
        task("lives", 0, |cx| {
            Box::pin(async move {
                cx.cancelled().await;
                Ok(())
            })
        }),
    ];
    let worker = Worker::new(Settings { threads: 1 }, vec![every(tasks)]);
    let mut placement = worker.placement();
    let stop = async {
        placement.wait_for(|placement| placement.unplaced == 0).await.expect("it runs");
        cx.cancel();
    };
    let (mut errors, ()) = tokio::join!(worker.run(&cx), stop);
    errors.sort_by_key(ToString::to_string);
    let [WorkerError::Task { task, source }, WorkerError::Ended { task: other, source: panic }] =
        errors.as_slice()
    else {
        panic!("{errors:?}");
    };
    assert_eq!((task.as_str(), source), ("fails", &failure()));
    assert_eq!(other, "panics");
    assert!(panic.to_string().contains("a bug of ours"), "{panic}");
    assert_eq!(errors[0].class(), ErrorClass::Corrupt);
}

#[tokio::test]
async fn a_worker_without_groups_ends_at_once() {
    let errors = Worker::new(Settings { threads: 4 }, Vec::new()).run(&Context::background()).await;
    assert!(errors.is_empty());
}

#[tokio::test]
async fn a_revoked_task_has_drained_before_it_is_released_and_the_others_go_on() {
    let (group, events, released, says) = scripted(Grouping::Each);
    let cx = Context::background();
    let worker = Worker::new(Settings { threads: 1 }, vec![group]);
    let placement = worker.placement();
    let script = async {
        events.send(AssignmentEvent::Assigned(ids(&["a", "b"]))).await.expect("it runs");
        assert_eq!(hear(&says, 2).await, [started("a"), started("b")]);
        events.send(AssignmentEvent::Revoke(ids(&["a"]))).await.expect("it runs");
        assert_eq!(hear(&released, 1).await, [ids(&["a"])]);
        assert_eq!(says.try_iter().collect::<Vec<_>>(), [drained("a")], "before the release");
        assert_eq!(placement.borrow().tasks.len(), 1);
        cx.cancel();
    };
    let (errors, ()) = tokio::join!(worker.run(&cx), script);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(says.try_iter().collect::<Vec<_>>(), [drained("b")]);
    assert!(released.try_recv().is_err(), "nobody waits for what ends with the worker");
}

#[tokio::test]
async fn a_lost_task_is_dropped_without_another_word() {
    let (group, events, released, says) = scripted(Grouping::Each);
    let cx = Context::background();
    let worker = Worker::new(Settings { threads: 1 }, vec![group]);
    let mut placement = worker.placement();
    let script = async {
        events.send(AssignmentEvent::Assigned(ids(&["a"]))).await.expect("it runs");
        hear(&says, 1).await;
        events.send(AssignmentEvent::Lost(ids(&["a"]))).await.expect("it runs");
        placement.wait_for(|placement| placement.tasks.is_empty()).await.expect("it runs");
        cx.cancel();
    };
    let (errors, ()) = tokio::join!(worker.run(&cx), script);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(says.try_recv().is_err(), "a lost task drains nothing");
    assert!(released.try_recv().is_err(), "nobody waits for a lost task");
}

#[tokio::test]
async fn tasks_that_run_together_begin_anew_as_one_when_the_assignment_changes() {
    let (group, events, released, says) = scripted(Grouping::Together);
    let cx = Context::background();
    let worker = Worker::new(Settings { threads: 2 }, vec![group]);
    let script = async {
        events.send(AssignmentEvent::Assigned(ids(&["a"]))).await.expect("it runs");
        assert_eq!(hear(&says, 1).await, [started("a")]);
        events.send(AssignmentEvent::Assigned(ids(&["b"]))).await.expect("it runs");
        assert_eq!(hear(&says, 2).await, [drained("a"), started("a+b")]);
        events.send(AssignmentEvent::Assigned(ids(&["b"]))).await.expect("it runs");
        events.send(AssignmentEvent::Revoke(ids(&["a"]))).await.expect("it runs");
        assert_eq!(hear(&says, 2).await, [drained("a+b"), started("b")]);
        assert_eq!(hear(&released, 1).await, [ids(&["a"])]);
        cx.cancel();
    };
    let (errors, ()) = tokio::join!(worker.run(&cx), script);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(says.try_iter().collect::<Vec<_>>(), [drained("b")]);
}

#[tokio::test]
async fn a_task_that_cannot_be_made_is_named() {
    let (events, incoming) = mpsc::channel(1);
    let (tx, _released) = sync_channel(1);
    let assignment = Box::new(Scripted { events: incoming, released: tx });
    let make: Make = Box::new(|_| Err("no such step".into()));
    let group = Group { name: "g".to_owned(), assignment, grouping: Grouping::Each, make };
    let cx = Context::background();
    let worker = Worker::new(Settings { threads: 1 }, vec![group]);
    let mut placement = worker.placement();
    let script = async {
        events.send(AssignmentEvent::Assigned(ids(&["a"]))).await.expect("it runs");
        placement.wait_for(|placement| placement.unplaced == 0).await.expect("it runs");
        cx.cancel();
    };
    let (errors, ()) = tokio::join!(worker.run(&cx), script);
    let [error @ WorkerError::Make { task, .. }] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((task.as_str(), error.class()), ("a", ErrorClass::Invalid));
}

#[tokio::test]
async fn a_group_without_tasks_says_what_keeps_them_away() {
    let (group, events, _released, says) = scripted(Grouping::Each);
    let trouble = watch::Sender::new(None);
    let assignment = Box::new(Troubled(group.assignment, trouble.subscribe()));
    let (cx, group) = (Context::background(), Group { assignment, ..group });
    let worker = Worker::new(Settings { threads: 1 }, vec![group]);
    let placement = worker.placement();
    let kept_away = || placement.borrow().kept_away();
    let script = async {
        assert_eq!(kept_away(), [], "it may be that others have all tasks");
        trouble.send_replace(Some("not permitted".to_owned()));
        assert_eq!(kept_away(), [("scripted".to_owned(), "not permitted".to_owned())]);
        events.send(AssignmentEvent::Assigned(ids(&["a"]))).await.expect("it runs");
        hear(&says, 1).await;
        let mut placed = placement.clone();
        placed.wait_for(|placement| placement.tasks.len() == 1).await.expect("it runs");
        assert_eq!(kept_away(), [], "what trouble means to a task, the task says");
        events.send(AssignmentEvent::Lost(ids(&["a"]))).await.expect("it runs");
        placed.wait_for(|placement| placement.tasks.is_empty()).await.expect("it runs");
        assert_eq!(kept_away().len(), 1);
        trouble.send_replace(None);
        assert_eq!(kept_away(), []);
        cx.cancel();
    };
    let (errors, ()) = tokio::join!(worker.run(&cx), script);
    assert!(errors.is_empty(), "{errors:?}");
}
