use serde_json::Value;

use super::*;

fn events(seed: u64, count: u64) -> Vec<Value> {
    let batch = Events::new(seed, Timestamp::from_millis(1_800_000_000_000)).batch(count);
    serde_json::from_slice(&batch).unwrap()
}

#[test]
fn the_same_seed_makes_the_same_events() {
    assert_eq!(events(7, 50), events(7, 50));
    assert_ne!(events(7, 50), events(8, 50));
}

#[test]
fn message_ids_are_unique() {
    let events = events(1, 2_000);
    let ids: std::collections::BTreeSet<&str> =
        events.iter().map(|event| event["message_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn about_one_in_fifty_is_bad() {
    let is_bad = |event: &&Value| {
        let time_is_bad = event["timestamp"].as_str().is_some_and(|text| text.starts_with('y'));
        event["user_id"].is_null() || event["event"].is_null() || time_is_bad
    };
    let bad = events(1, 10_000).iter().filter(is_bad).count();
    assert!((100..=300).contains(&bad), "{bad} of 10000");
}

#[test]
fn an_event_is_about_a_kilobyte() {
    let bytes = Events::new(1, Timestamp::EPOCH).batch(1_000).len() / 1_000;
    assert!((700..=1_400).contains(&bytes), "{bytes} bytes");
}
