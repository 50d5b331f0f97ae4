use millstream_log::memory::MemoryLog;
use millstream_log::{TopicConfig, TopicKind};
use millstream_model::{
    HeadersBuilder, Offset, Record, RecordBatch, RecordBatchBuilder, Timestamp, TopicName,
    TopicPartition, header,
};
use millstream_runtime::Rng;

use super::*;

const NOW: i64 = 1_000_000;

struct Fixture {
    log: Arc<dyn Log>,
    clock: Clock,
    cx: Context,
}

impl Fixture {
    async fn new(partitions: u32) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(NOW));
        let log = MemoryLog::new(clock.clone(), Rng::from_seed(1));
        let log: Arc<dyn Log> = Arc::new(log);
        let cx = Context::background();
        let config = TopicConfig { partitions, kind: TopicKind::Events, retention: None };
        log.admin().ensure_topic(&cx, &TopicName::new("t").unwrap(), &config).await.unwrap();
        Self { log, clock, cx }
    }

    async fn append(&self, partition: u32, accepted: i64, value: &str) {
        let partition = TopicPartition::new(TopicName::new("t").unwrap(), partition);
        self.log.enqueue(vec![(partition, batch(accepted, value))]).unwrap().await.unwrap();
    }

    async fn start(&self, ask: Ask) -> Lines {
        let request = ask.find(&self.cx, &self.log).await.unwrap();
        start(&self.cx, Arc::clone(&self.log), request, self.clock.clone())
    }

    /// Reads a tap to its end and returns the values that it showed.
    async fn values(&self, ask: Ask) -> Vec<String> {
        self.to_end(ask).await.0
    }

    /// Reads a tap to its end and returns the values that it showed, and how much it looked at.
    async fn to_end(&self, ask: Ask) -> (Vec<String>, Vec<Looked>) {
        let mut chunks = self.start(ask).await;
        let (mut values, mut looked) = (Vec::new(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match serde_json::from_slice(line).unwrap() {
                    Line::Record(row) => values.push(row.value_text().unwrap().to_owned()),
                    Line::Looked(it) => looked.push(it),
                    Line::End => return (values, looked),
                    other => panic!("{other:?}"),
                }
            }
        }
        panic!("no last line")
    }
}

fn batch(accepted: i64, value: &str) -> RecordBatch {
    let mut records = RecordBatchBuilder::new();
    let headers = HeadersBuilder::new().with(header::REQUEST_ID, b"r1");
    records.push(Record {
        timestamp: Timestamp::from_millis(accepted),
        key: Some(b"k"),
        value: Some(value.as_bytes()),
        headers: headers.as_headers(),
    });
    records.finish()
}

fn ask(from: &str) -> Ask {
    Ask {
        topic: "t".to_owned(),
        from: Some(from.to_owned()),
        follow: Some(false),
        ..Ask::default()
    }
}

#[tokio::test]
async fn records_of_all_partitions_come_oldest_first() {
    let log = Fixture::new(3).await;
    for (partition, accepted) in [(2, 10), (0, 30), (1, 20), (2, 40), (0, 50), (1, 60)] {
        log.append(partition, accepted, &accepted.to_string()).await;
    }
    assert_eq!(log.values(ask("beginning")).await, ["10", "20", "30", "40", "50", "60"]);
    assert_eq!(log.values(Ask { limit: Some(2), ..ask("beginning") }).await, ["10", "20"]);
    assert_eq!(log.values(Ask { partition: Some(2), ..ask("beginning") }).await, ["10", "40"]);
    assert_eq!(log.values(ask("1")).await, ["40", "50", "60"]);
    assert_eq!(log.values(ask("end")).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_time_ago_shows_what_was_accepted_since() {
    let log = Fixture::new(2).await;
    for at in 0..20 {
        let accepted = NOW - 20_000 + at * 1_000;
        log.append(u32::try_from(at % 2).unwrap(), accepted, &at.to_string()).await;
    }
    assert_eq!(log.values(ask("3s")).await, ["17", "18", "19"]);
    assert_eq!(log.values(ask("1970-01-01T00:16:38Z")).await, ["18", "19"]);
    assert_eq!(log.values(ask("1d")).await.len(), 20);
}

#[tokio::test]
async fn a_tap_waits_for_what_comes_and_ends_when_nobody_takes_it() {
    let log = Fixture::new(2).await;
    log.append(0, 1, "old").await;
    let mut chunks = log.start(Ask { follow: None, ..ask("end") }).await;
    // The tap may still look for the end: only the record after one that was seen proves it waits.
    let mut seen = Vec::new();
    for at in 0.. {
        log.append(1, 2, &format!("\"new-{at}\"")).await;
        let chunk = tokio::time::timeout(Duration::from_millis(50), chunks.next()).await;
        seen.extend_from_slice(&chunk.ok().flatten().unwrap_or_default());
        if String::from_utf8_lossy(&seen).lines().count() >= 2 {
            break;
        }
    }
    assert!(!String::from_utf8_lossy(&seen).contains("old"));
    let Lines { chunks, _thread: mut thread } = chunks;
    drop(chunks);
    thread.join().await.unwrap();
}

#[tokio::test]
async fn a_filter_chooses_and_counts_towards_the_limit() {
    let log = Fixture::new(1).await;
    for at in 0..100 {
        let event = if at % 10 == 0 { "purchase" } else { "page_view" };
        log.append(0, at, &format!(r#"{{"event":"{event}","n":{at}}}"#)).await;
    }
    let filter = Some("event=purchase".to_owned());
    let found = log.values(Ask { filter, limit: Some(3), ..ask("beginning") }).await;
    assert_eq!(
        found,
        [
            r#"{"event":"purchase","n":0}"#,
            r#"{"event":"purchase","n":10}"#,
            r#"{"event":"purchase","n":20}"#,
        ]
    );
}

#[tokio::test]
async fn a_tap_that_shows_nothing_says_at_the_end_how_much_it_looked_at() {
    let log = Fixture::new(2).await;
    let looked = |records, shown, place| Looked { records, shown, place };
    let nothing = log.to_end(ask("beginning")).await;
    assert_eq!(nothing, (Vec::new(), vec![looked(0, 0, Place::End)]), "an empty topic");
    for at in 0..20 {
        log.append(at % 2, i64::from(at), &format!("{at:02}")).await;
    }
    let filtered = |filter: &str, from: &str| Ask { filter: Some(filter.to_owned()), ..ask(from) };
    let found = log.to_end(filtered("none", "beginning")).await;
    assert_eq!(found, (Vec::new(), vec![looked(20, 0, Place::End)]));
    let (values, said) = log.to_end(filtered("19", "beginning")).await;
    assert_eq!((values.len(), said), (1, vec![looked(20, 1, Place::End)]));
    let (values, said) = log.to_end(ask("beginning")).await;
    assert_eq!((values.len(), said), (20, Vec::new()), "what is shown tells");

    // One that waits says it when it begins to.
    let ask = Ask { follow: Some(true), ..filtered("none", "beginning") };
    let chunk = log.start(ask).await.next().await.unwrap();
    let line: Line = serde_json::from_slice(&chunk).unwrap();
    let Line::Looked(said) = line else { panic!("{line:?}") };
    assert_eq!(said, looked(20, 0, Place::Following));
}

#[tokio::test]
async fn what_cannot_be_tapped_is_told_with_what_can() {
    let log = Fixture::new(2).await;
    let message = async |ask: Ask| ask.find(&log.cx, &log.log).await.unwrap_err().to_string();
    let topic = message(Ask { topic: "u".to_owned(), ..ask("end") }).await;
    assert_eq!(topic, "there is no topic `u`; there are t");
    let partition = message(Ask { partition: Some(2), ..ask("end") }).await;
    assert_eq!(partition, "topic t has partitions 0 to 1, not 2");
    assert!(message(ask("yesterday")).await.starts_with("`from`: write `beginning`"));
    let filter = Some("@colour=red".to_owned());
    assert!(message(Ask { filter, ..ask("end") }).await.contains("@trace_parent"));
}

#[test]
fn places_and_filters_read_what_they_write() {
    for text in ["beginning", "end", "41", "5 m", "2026-11-23T10:00:00.000Z"] {
        assert_eq!(text.parse::<From>().unwrap().to_string(), text);
    }
    assert_eq!("5m".parse(), Ok(From::Ago(Duration::from_secs(300))));
    for text in ["-1", "5", "", "soon", "5 weeks"] {
        assert_eq!(text.parse::<From>().is_ok(), text == "5", "{text}");
    }
    for text in ["a=b", "properties.channel=web", "@key=k", "plain", "\"a=b\"", "x y=z", "a=b=c"] {
        assert_eq!(text.parse::<Filter>().unwrap().to_string(), text);
    }
    assert!("".parse::<Filter>().is_err());
}

#[test]
fn filters_look_at_fields_texts_and_headers() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = HeadersBuilder::new()
        .with(header::REQUEST_ID, b"r1")
        .with(header::TRACE_PARENT, trace.as_bytes());
    let value = br#"{"event":"a=b","n":1.5,"ok":true,"properties":{"tags":["x","y"]}}"#;
    let record = Record {
        timestamp: Timestamp::EPOCH,
        key: Some(b"u1"),
        value: Some(value),
        headers: headers.as_headers(),
    };
    let check = |filter: &str, expected: bool| {
        assert_eq!(filter.parse::<Filter>().unwrap().matches(record), expected, "{filter}");
    };
    check("event=a=b", true);
    check("event=a", false);
    check("n=1.5", true);
    check("ok=true", true);
    check("properties.tags.1=y", true);
    check("properties.tags.2=y", false);
    check("missing=null", false);
    check("\"tags\":[", true);
    check("tags: [", false);
    check("@key=u1", true);
    check("@request_id=r1", true);
    check("@request_id=r", false);
    check(&format!("@trace_parent={trace}"), true);
    check("@trace_parent=4bf92f3577b34da6a3ce929d0e0e4736", true);
    let tombstone = Record { value: None, ..record };
    assert!(!"x".parse::<Filter>().unwrap().matches(tombstone));
    let no_json = Record { value: Some(b"\xff{"), ..record };
    assert!(!"event=a".parse::<Filter>().unwrap().matches(no_json));
}

#[test]
fn a_value_stays_as_it_is_but_on_one_line() {
    let partition = TopicPartition::new(TopicName::new("t").unwrap(), 0);
    let check = |value: &[u8], json: Option<&str>, text: Option<&str>| {
        let record = Record {
            timestamp: Timestamp::EPOCH,
            key: None,
            value: Some(value),
            headers: millstream_model::Headers::EMPTY,
        };
        let row = Row::new(&partition, Offset(1), record);
        assert_eq!(row.value.as_deref().map(serde_json::value::RawValue::get), json);
        assert_eq!(row.text.as_deref(), text);
        let line = serde_json::to_string(&Line::Record(Box::new(row))).unwrap();
        assert!(!line.contains('\n'), "{line}");
    };
    check(b"{ \"a b\" :\n\t[1, 2]\r\n}", Some("{\"a b\":[1,2]}"), None);
    check(br#"{"a": "x \" y \\", "b": 1}"#, Some(r#"{"a":"x \" y \\","b":1}"#), None);
    check(b"12345678901234567890123", Some("12345678901234567890123"), None);
    check(b"no\njson", None, Some("no\njson"));
    check(b"\xff", None, Some("\u{fffd}"));
}
