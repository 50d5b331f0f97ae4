use proptest::prelude::*;

use super::*;

fn sample() -> (TaskId, LogPosition) {
    let position = LogPosition {
        log: LogId(Uuid::from_u128(0x1111)),
        topic: TopicId(Uuid::from_u128(0x2222)),
        incarnation: Incarnation(5),
        offset: Offset(1234),
    };
    (TaskId::new("app.pipeline.clean.3").unwrap(), position)
}

#[test]
fn version_1_is_written_and_read_byte_for_byte() {
    let (task, position) = sample();
    let text = "millstream/1 task=app.pipeline.clean.3 \
                log=00000000000000000000000000001111 topic=00000000000000000000000000002222 \
                incarnation=0000000000000005";
    assert_eq!(encode(&task, &position), text);
    assert_eq!(decode(position.offset, text.as_bytes()), GroupOffset::Ours(task, position));
    assert_eq!(encode_renamed(), "millstream/1 renamed");
    assert_eq!(decode(Offset(1), encode_renamed().as_bytes()), GroupOffset::Renamed);
}

#[test]
fn what_others_wrote_is_foreign() {
    let (task, position) = sample();
    let ours = encode(&task, &position);
    let changed = [
        String::new(),
        "millstream/2 task=a".to_owned(),
        format!("{ours} "),
        format!("{ours} more=1"),
        ours.replace("task=", "Task="),
        ours.replace("=0000000000000005", "=5"),
        "millstream/1 renamed ".to_owned(),
    ];
    for text in changed {
        assert_eq!(decode(Offset(9), text.as_bytes()), GroupOffset::Foreign(Offset(9)), "{text:?}");
    }
    assert_eq!(decode(Offset(9), b"\xff"), GroupOffset::Foreign(Offset(9)));
}

#[test]
fn the_longest_identity_fits_what_kafka_keeps() {
    let task = TaskId::new(&"t".repeat(millstream_model::task::TASK_ID_BYTES_MAX)).unwrap();
    assert!(encode(&task, &sample().1).len() <= 4095);
}

proptest! {
    #[test]
    fn no_text_panics(bytes: Vec<u8>, text: String) {
        let _decoded = (decode(Offset(1), &bytes), decode(Offset(1), text.as_bytes()));
        let prefixed = format!("millstream/1 {text}");
        let _decoded = decode(Offset(1), prefixed.as_bytes());
    }
}
