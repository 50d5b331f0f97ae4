use super::*;

fn batchless(hang_time_max: Duration) -> (Producer, Receiver<Command>) {
    let (commands, inbox) = sync_channel(1);
    (Producer { commands, hang_time_max }, inbox)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_return_is_given_up_and_the_next_one_not_made() {
    let (producer, inbox) = batchless(Duration::from_secs(5));
    let hung = producer.init(Duration::from_secs(1)).await;
    assert!(matches!(hung, Err(Failure::InDoubt(_))), "{hung:?}");
    // The thread took the first call and is still in it: the second waits in the queue.
    assert!(matches!(inbox.try_recv(), Ok(Command::Init(..))));
    let second = producer.init(Duration::from_secs(1)).await;
    assert!(matches!(second, Err(Failure::InDoubt(_))), "{second:?}");
    let third = producer.init(Duration::from_secs(1)).await;
    assert!(matches!(third, Err(Failure::InDoubt(_))), "{third:?}");
}

#[tokio::test]
async fn a_thread_that_ended_leaves_its_caller_in_doubt() {
    let (producer, inbox) = batchless(Duration::from_secs(5));
    drop(inbox);
    let ended = producer.init(Duration::from_secs(1)).await;
    assert!(matches!(ended, Err(Failure::InDoubt(_))), "{ended:?}");
}
