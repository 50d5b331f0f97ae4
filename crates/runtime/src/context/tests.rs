use super::*;

#[tokio::test]
async fn cancelling_a_parent_cancels_what_was_derived_from_it() {
    let parent = Context::background();
    let child = parent.child().with_timeout(Duration::from_secs(60));
    parent.cancel();
    assert_eq!(child.cancelled().await, Cancelled::Cancelled);
}

#[tokio::test]
async fn cancelling_a_child_leaves_its_parent_alone() {
    let parent = Context::background();
    parent.child().cancel();
    assert_eq!(parent.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_deadline_wins() {
    let outer = Context::background().with_timeout(Duration::from_secs(1));
    let inner = outer.with_timeout(Duration::from_secs(60));
    assert_eq!(inner.deadline(), outer.deadline());
    let result = inner.run(std::future::pending::<()>()).await;
    assert_eq!(result, Err(Cancelled::DeadlinePassed));
}

#[test]
fn a_trace_parent_is_taken_only_when_the_standard_says_so() {
    let check = |text: &str, expected: bool| {
        assert_eq!(TraceParent::new(text).is_some(), expected, "{text}");
    };
    check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
    check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false);
    check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false);
    check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
    check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false);
    check("", false);
}

#[test]
fn a_request_id_is_visible_ascii_of_bounded_length() {
    assert!(RequestId::new("req-1").is_some());
    assert!(RequestId::new("").is_none());
    assert!(RequestId::new("a b").is_none());
    assert!(RequestId::new(&"x".repeat(129)).is_none());
}
