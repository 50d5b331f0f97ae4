use super::*;
use crate::status::PartitionRow;

#[test]
fn topics_and_partitions_are_tables() {
    let partition = |partition, start, end| PartitionRow { partition, start, end };
    let topic = TopicInfo {
        name: "events".to_owned(),
        id: "x".to_owned(),
        kind: "events".to_owned(),
        count: 1_234,
        unit: Unit::Offsets,
        retention_ms: Some(86_400_000),
        partitions: vec![partition(0, 5, 1_005), partition(1, 0, 234)],
    };
    let default = TopicInfo { name: "dead".to_owned(), retention_ms: None, ..topic.clone() };
    let text = all(&[topic.clone(), default]);
    assert!(text.starts_with("topic   kind    partitions  offsets  retention\n"), "{text}");
    assert!(text.contains("1 234"), "{text}");
    assert!(text.contains("1 d"), "{text}");
    assert!(text.contains("the log's default"), "{text}");
    let text = partitions(&topic);
    assert!(text.lines().nth(2).unwrap().contains("1 000"), "{text}");
}
