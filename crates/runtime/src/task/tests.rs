use super::*;

const KIND: TaskKind = TaskKind("test");

#[tokio::test]
async fn a_panic_is_reported_with_the_tasks_name() {
    let mut task = spawn(&Context::background(), KIND, async { panic!("boom") });
    let error = task.join().await.unwrap_err();
    assert_eq!(error.to_string(), "task test panicked: boom");
}

#[tokio::test]
async fn dropping_the_handle_ends_the_task() {
    let (tx, rx) = tokio::sync::oneshot::channel::<()>();
    let task = spawn(&Context::background(), KIND, async move {
        std::future::pending::<()>().await;
        drop(tx);
    });
    drop(task);
    assert!(rx.await.is_err(), "the task's future was dropped with its sender");
}

#[tokio::test]
async fn blocking_work_returns_its_output() {
    assert_eq!(spawn_blocking(KIND, || 7).join().await.unwrap(), 7);
}
