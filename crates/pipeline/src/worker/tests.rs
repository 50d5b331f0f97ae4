use super::*;

fn task(
    name: &str,
    pin: u32,
    start: impl FnOnce(Context) -> TaskFuture + Send + 'static,
) -> PinnedTask {
    let kind = TaskKind("test");
    PinnedTask { name: name.to_owned(), kind, pin, start: Box::new(start) }
}

fn thread_name() -> Option<String> {
    std::thread::current().name().map(str::to_owned)
}

#[tokio::test]
async fn tasks_stay_on_the_thread_of_their_partition_and_end_with_the_context() {
    let (tx, rx) = std::sync::mpsc::sync_channel(8);
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
    let worker = Worker::new(Settings { threads: 2 }, tasks.collect());
    let stop = async {
        while rx.try_iter().count() < 4 {
            tokio::task::yield_now().await;
        }
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
    let stop = cx.clone();
    let tasks = vec![
        task("fails", 0, move |_cx| Box::pin(async move { Err(failure()) })),
        task("panics", 0, |_cx| Box::pin(async { panic!("a bug of ours") })),
        task("lives", 0, move |_cx| {
            Box::pin(async move {
                tokio::task::yield_now().await;
                stop.cancel();
                Ok(())
            })
        }),
    ];
    let errors = Worker::new(Settings { threads: 1 }, tasks).run(&cx).await;
    assert!(cx.is_cancelled(), "the third task went on");
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
async fn a_worker_without_tasks_ends_at_once() {
    let errors = Worker::new(Settings { threads: 4 }, Vec::new()).run(&Context::background()).await;
    assert!(errors.is_empty());
}
