use super::*;

#[tokio::test]
async fn bytes_are_refused_until_the_consumer_releases_them() {
    let (tx, mut rx) = bounded(Limits { items_max: 8, bytes_max: 10 });
    tx.try_send("a", 6).unwrap();
    assert!(matches!(tx.try_send("b", 5), Err(Refused::Full("b"))));
    let admitted = rx.recv().await.unwrap();
    assert!(matches!(tx.try_send("b", 5), Err(Refused::Full("b"))), "taken out is not released");
    drop(admitted);
    tx.try_send("b", 5).unwrap();
    assert_eq!(tx.bytes_used(), 5);
}

#[tokio::test]
async fn a_refused_item_gives_its_bytes_back() {
    let (tx, _rx) = bounded(Limits { items_max: 1, bytes_max: 10 });
    tx.try_send(1, 1).unwrap();
    assert!(matches!(tx.try_send(2, 1), Err(Refused::Full(2))));
    assert_eq!(tx.bytes_used(), 1);
}

#[tokio::test]
async fn a_closed_queue_refuses_and_drains() {
    let (tx, mut rx) = bounded(Limits { items_max: 4, bytes_max: 10 });
    tx.try_send(1, 1).unwrap();
    rx.close();
    assert!(matches!(tx.try_send(2, 1), Err(Refused::Closed(2))));
    assert_eq!(rx.recv().await.map(|admitted| admitted.item), Some(1));
    assert!(rx.recv().await.is_none());
}
