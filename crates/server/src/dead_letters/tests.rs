use super::*;

fn letter(accepted_ms: i64, offset: u64, bytes: usize) -> DeadLetterRow {
    DeadLetterRow {
        topic: "dead".to_owned(),
        partition: 0,
        offset,
        accepted_ms,
        origin: String::new(),
        pipeline: String::new(),
        step: String::new(),
        field: None,
        reason: String::new(),
        value: "x".repeat(bytes),
    }
}

fn offsets(newest: &Newest) -> Vec<u64> {
    newest.letters.iter().map(|letter| letter.offset).collect()
}

#[test]
fn the_newest_by_acceptance_stay_and_the_oldest_come_first() {
    let (mut first, mut second) = (Newest::new(3), Newest::new(3));
    [(10, 0), (30, 1), (50, 2)]
        .into_iter()
        .for_each(|(at, offset)| first.push(letter(at, offset, 1)));
    [(20, 10), (40, 11)].into_iter().for_each(|(at, offset)| second.push(letter(at, offset, 1)));
    first.merge(second);
    assert_eq!(offsets(&first), [1, 11, 2]);
    assert!(!first.is_cut);
}

#[test]
fn an_answer_is_bounded_by_bytes_and_says_that_it_is_cut() {
    let mut newest = Newest::new(100);
    (0..4).for_each(|offset| newest.push(letter(0, offset, ANSWER_BYTES_MAX / 3)));
    assert_eq!(offsets(&newest), [1, 2, 3]);
    assert!(newest.is_cut);
    newest.push(letter(0, 4, ANSWER_BYTES_MAX * 2));
    assert_eq!(offsets(&newest), [4], "the newest is there whatever its size");
    assert_eq!(newest.bytes, ANSWER_BYTES_MAX * 2);
}
