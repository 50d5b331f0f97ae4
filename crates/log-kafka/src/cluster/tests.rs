use uuid::Uuid;

use super::uuid_of;

#[test]
fn a_cluster_id_of_kafka_is_the_uuid_it_encodes() {
    // As Kafka's own `Uuid.toString` writes these bytes.
    assert_eq!(uuid_of("AAAAAAAAAAAAAAAAAAAAAQ"), Uuid::from_u128(1));
    assert_eq!(uuid_of("_____________________w"), Uuid::from_u128(u128::MAX));
    assert_eq!(uuid_of("MkU3OEVBNTcwNTJENDM2Qg"), Uuid::from_bytes(*b"2E78EA57052D436B"),);
}

#[test]
fn other_ids_of_clusters_are_told_apart() {
    let ids = ["redpanda.4b8a", "redpanda.4b8b", "", "AAAAAAAAAAAAAAAAAAAAAR", "-"];
    let uuids: std::collections::BTreeSet<_> = ids.iter().map(|id| uuid_of(id)).collect();
    assert_eq!(uuids.len(), ids.len());
}
