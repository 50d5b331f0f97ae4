use millstream_log::conformance::batch;
use millstream_log::memory::MemoryLog;
use millstream_log::{TopicConfig, TopicKind};
use millstream_model::TopicName;

use super::*;

fn letter(accepted_ms: i64, offset: u64, bytes: usize) -> DeadLetterRow {
    DeadLetterRow {
        place: "log".to_owned(),
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

fn flow(kafka: Option<&str>) -> Flow {
    let topic =
        |name: &str, partitions| crate::flow::FlowTopic { name: name.to_owned(), partitions };
    let text = str::to_owned;
    let pipeline = crate::flow::FlowPipeline {
        name: text("p"),
        from: text("events"),
        to: text("clean"),
        dead_letters: text("dead"),
    };
    Flow {
        kafka: kafka.map(text),
        collected: text("events"),
        topics: vec![topic("events", 2), topic("dead", 1)],
        pipelines: vec![pipeline],
        ..Flow::default()
    }
}

async fn log_with(topic: &str, letters: u64) -> Arc<dyn Log> {
    let (cx, clock) = (Context::background(), millstream_runtime::Clock::system());
    let log = MemoryLog::new(clock, millstream_runtime::Rng::from_seed(1));
    let name = TopicName::new(topic).unwrap();
    let config = TopicConfig { partitions: 2, kind: TopicKind::DeadLetters, retention: None };
    log.admin().ensure_topic(&cx, &name, &config).await.unwrap();
    for number in 0..letters {
        let partition = TopicPartition::new(name.clone(), u32::from(number % 2 == 1));
        log.enqueue(vec![(partition, batch(&["{}"]))]).unwrap().await.unwrap();
    }
    Arc::new(log)
}

#[tokio::test]
async fn what_the_spool_refused_is_listed_beside_the_log_and_says_where_it_lies() {
    let cx = Context::background();
    let logs = DeadLetterLogs {
        log: Some(log_with("dead", 1).await),
        spool: Some(log_with("events-spool-dead", 3).await),
    };
    let flow = flow(Some("broker:9092"));
    let list = async |topic: Option<&str>| {
        let query = Query { limit: None, topic: topic.map(str::to_owned) };
        let found = list(&cx, logs.clone(), &flow, &query).await.unwrap();
        let places = found.letters.iter().map(|letter| (letter.place.clone(), letter.partition));
        let mut places: Vec<_> = places.collect();
        places.sort();
        (found.total, places)
    };
    let place = |place: &str, partition| (place.to_owned(), partition);
    let spool = [place("spool", 0), place("spool", 0), place("spool", 1)];
    let all = [&[place("log", 0)][..], &spool].concat();
    assert_eq!(list(None).await, (4, all));
    assert_eq!(list(Some("events-spool-dead")).await, (3, spool.to_vec()));
    assert_eq!(list(Some("dead")).await, (1, vec![place("log", 0)]));
}

#[tokio::test]
async fn a_spool_that_never_refused_anything_has_no_topic_for_it_and_is_no_error() {
    let logs = DeadLetterLogs { log: None, spool: Some(log_with("other", 1).await) };
    let flow = flow(Some("broker:9092"));
    let found = list(&Context::background(), logs, &flow, &Query::default()).await.unwrap();
    assert_eq!((found.total, found.letters.len()), (0, 0));
}
