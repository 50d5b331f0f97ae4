//! What is taken for free between two questions.

use super::FreeSpace;

fn never() -> u64 {
    panic!("the disk was asked")
}

#[tokio::test(start_paused = true)]
async fn what_the_journal_wrote_is_subtracted_without_asking() {
    let mut space = FreeSpace::default();
    assert_eq!(space.bytes(1000, || 500), 500);
    assert_eq!(space.bytes(1200, never), 300);
    assert_eq!(space.bytes(2000, never), 0, "never less than nothing");
    assert_eq!(space.bytes(900, never), 500, "what it deleted counts when the disk says so");
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_shows_after_a_tenth_of_a_second() {
    let mut space = FreeSpace::default();
    assert_eq!(space.bytes(0, || 500), 500);
    tokio::time::advance(std::time::Duration::from_millis(99)).await;
    assert_eq!(space.bytes(0, never), 500);
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    assert_eq!(space.bytes(0, || 7), 7);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_answer_is_asked_for_again() {
    let mut space = FreeSpace::default();
    assert_eq!(space.bytes(0, || 500), 500);
    space.forget();
    assert_eq!(space.bytes(0, || 7), 7);
}
