use super::*;

#[test]
fn a_refusal_announces_the_length_it_has() {
    let text = std::str::from_utf8(HEAD_TOO_SLOW).expect("ASCII");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    serde_json::from_str::<serde_json::Value>(body).expect("JSON");
}

#[test]
fn every_change_of_phase_shows_even_when_the_phase_is_the_same_again() {
    let phase = Phase::default();
    let mut seen = vec![phase.changes()];
    // A request without a first byte of its own was pipelined: it came with the one before.
    phase.advance_to(HEAD);
    seen.push(phase.changes());
    for _ in 0..3 {
        phase.serve();
        assert_eq!(phase.changes() % 3, SERVING);
        seen.push(phase.changes());
        phase.rest();
        assert_eq!(phase.changes() % 3, RESTING);
        seen.push(phase.changes());
    }
    assert!(seen.is_sorted_by(|a, b| a < b));
}

#[tokio::test(start_paused = true)]
async fn a_watch_counts_from_when_it_began_to_wait_for_that_very_thing() {
    let mut watch = Watch::default();
    let ten = Duration::from_secs(10);
    let mut expired = |what| {
        let waker = std::task::Waker::noop();
        watch.poll_expired(&mut Context::from_waker(waker), what, ten).is_ready()
    };
    assert!(!expired(1));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert!(!expired(1));
    // Something else is waited for from here on: the old deadline fires in vain.
    assert!(!expired(2));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert!(!expired(2));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(expired(2));
}
