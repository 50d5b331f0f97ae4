use millstream_model::Classify as _;

use super::*;

fn away(since: i64, reason: &str) -> Away {
    let since = Timestamp::from_millis(since);
    Away { since, is_refused: false, reason: reason.to_owned() }
}

fn task() -> TaskId {
    TaskId::new("t").unwrap()
}

#[tokio::test]
async fn before_it_is_there_every_call_fails_at_once_and_says_since_when_and_why() {
    let log = ClusterLog::new(Config::default());
    log.note_away(away(0, "no broker answers"));
    let cx = Context::background();
    let error = log.committed(&cx, &task()).await.unwrap_err();
    assert_eq!(error.class(), millstream_model::ErrorClass::Transient);
    let said = format!("{:#}", anyhow::Error::new(error));
    assert!(said.contains("Kafka is away since 1970-01-01T00:00:00.000Z: no broker"), "{said}");
    let error = log.admin().topics(&cx).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::new(error)).contains("Kafka is away"));
    assert!(matches!(log.enqueue(Vec::new()), Err(EnqueueError::Full { .. })), "nothing is stored");
}

#[test]
fn it_is_away_since_the_first_failure_and_shows_the_last_cause() {
    let log = ClusterLog::new(Config::default());
    log.note_away(away(1, "first"));
    log.note_away(Away { is_refused: true, ..away(2, "second") });
    assert_eq!(log.away(), Some(Away { is_refused: true, ..away(1, "second") }));
}
