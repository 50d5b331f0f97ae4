use super::*;

#[test]
fn records_are_gone_only_when_nothing_else_was_said_for_a_time() {
    let second = Duration::from_secs(1);
    let began = Instant::now();
    let mut doubt = Doubt::new(10 * second);
    let mut judge = |seen, after: u32| doubt.judge(seen, began + after * second);
    assert_eq!(judge(Seen::NoLeader, 0), None);
    assert_eq!(judge(Seen::NoLeader, 30), None, "nobody could tell");
    assert_eq!(judge(Seen::NotThere, 31), None, "said once");
    assert_eq!(judge(Seen::NotThere, 40), None, "said for nine seconds");
    assert_eq!(judge(Seen::NoLeader, 41), None);
    assert_eq!(judge(Seen::NotThere, 42), None, "said once more");
    assert_eq!(judge(Seen::NotThere, 52), Some(false));
}

#[test]
fn what_is_there_or_was_deleted_is_known_at_once() {
    let judge = |seen| Doubt::new(Duration::from_secs(10)).judge(seen, Instant::now());
    assert_eq!(judge(Seen::There), Some(true));
    assert_eq!(judge(Seen::Deleted), Some(false));
}
