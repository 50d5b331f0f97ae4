use super::section::Field;
use super::*;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let variables = |name: &str| (name == "PORT").then(|| "8099".to_owned());
    Config::parse(Source::new("test.yaml", text), &variables)
        .map_err(|invalid| invalid.problems.into_iter().map(|problem| problem.message).collect())
}

#[test]
fn the_quickstart_is_valid_and_what_the_defaults_say() {
    let config = Config::quickstart();
    let names: Vec<&str> = config.topics.iter().map(|topic| topic.name.value.as_str()).collect();
    assert_eq!(names, ["events", "events-clean", "events-dead"]);
    assert_eq!(config.collector, millstream_collector::Config::default());
    assert_eq!(config.admin, AdminConfig::default());
    assert_eq!(config.log, millstream_log::journal::Config::default());
}

#[test]
fn an_empty_file_is_the_quickstart() {
    for text in ["", "# nothing but a comment\n", "collector:\nadmin:\n"] {
        let config = parse(text).unwrap();
        assert_eq!(config.sinks.len(), 1, "{text:?}");
    }
}

#[test]
fn a_variable_takes_its_value_its_default_or_a_dollar() {
    let listen =
        |text: &str| parse(&format!("collector:\n  listen: {text}\n")).unwrap().collector.listen;
    assert_eq!(listen("127.0.0.1:${PORT}").port(), 8099);
    assert_eq!(listen("127.0.0.1:${PORT:-1}").port(), 8099);
    assert_eq!(listen("127.0.0.1:${OTHER:-7070}").port(), 7070);
    let topics = "topics: { a: { partitions: 1 } }\n";
    let problems = parse(&format!("collector:\n  topic: $${{a}}\n{topics}")).unwrap_err();
    assert!(problems[0].contains("`${a}`"), "{problems:?}");
}

#[test]
fn every_key_stands_in_the_reference() {
    let reference = include_str!("../../../../docs/reference/config.md");
    let mut missing = Vec::new();
    let mut look = |section: &str, keys: Vec<&str>| {
        let heading = format!("## `{section}`");
        let text = reference.split(&heading).nth(1).unwrap_or_default();
        let text = text.split("\n## ").next().unwrap_or_default();
        let absent = keys.into_iter().filter(|key| !text.contains(&format!("| `{key}` |")));
        missing.extend(absent.map(|key| format!("{section}.{key}")));
    };
    look("collector", keys(collector::FIELDS));
    look("admin", keys(admin::FIELDS));
    look("log", keys(log::FIELDS));
    look("kafka", keys(kafka::FIELDS));
    look("spool", keys(spool::FIELDS));
    look("lake", keys(lake::FIELDS));
    look("topics", keys(topics::FIELDS));
    look("pipelines", keys(pipelines::WORKER_FIELDS));
    look("sinks", keys(sinks::FILES_FIELDS));
    look("sinks", keys(sinks::WORKER_FIELDS));
    assert_eq!(missing, Vec::<String>::new());
    let words = |key: &str, words: &[&str]| {
        let row = reference.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_default();
        let absent = words.iter().filter(|word| !row.contains(&format!("`{word}`")));
        assert_eq!(absent.collect::<Vec<_>>(), Vec::<&&str>::new(), "{key}");
    };
    words("durability", &log::DURABILITIES.map(|(word, _)| word));
    words("compression", &kafka::COMPRESSIONS.map(|(word, _)| word));
    words("sasl", &kafka::MECHANISMS.map(|(word, _)| word));
    for (kind, _) in steps::KINDS {
        assert!(reference.contains(&format!("`{kind}: ")), "step {kind}");
    }
}

fn keys<C>(fields: &[Field<C>]) -> Vec<&'static str> {
    fields.iter().map(|field| field.key).collect()
}

/// Two pipelines that read a topic of `partitions`, on Kafka.
fn two_pipelines(partitions: u32, more: &str) -> String {
    let topics = format!(
        "topics:\n  raw: {{ partitions: {partitions} }}\n  a: {{}}\n  b: {{}}\n  dead: {{}}\n"
    );
    let pipeline = |to: &str| format!("  {to}: {{ from: raw, to: {to}, dead_letters: dead }}\n");
    let pipelines = format!("pipelines:\n{}{}", pipeline("a"), pipeline("b"));
    format!("collector: {{ topic: raw }}\n{topics}{pipelines}{more}\n")
}

#[test]
fn workers_on_kafka_share_what_one_node_on_the_journal_could_not_have() {
    let problems = parse(&two_pipelines(64, "")).unwrap_err();
    assert!(problems[0].contains("128 partitions to clean"), "{problems:?}");
    parse(&two_pipelines(64, "kafka: {}")).unwrap();
    let limited = two_pipelines(16, "kafka: { tasks_max: 47 }");
    let problems = parse(&limited).unwrap_err();
    assert!(problems[0].contains("48 tasks"), "{problems:?}");
    // The collector of this one has no spool.
    parse(&format!("{limited}log: {{ durability: replicated }}\n")).unwrap();
}

#[test]
fn a_collector_that_has_no_spool_is_not_held_to_the_limits_of_its_journal() {
    let parse = |durability: &str| {
        parse(&format!(
            "collector: {{ event_bytes_max: 4 MiB }}\nkafka: {{ record_bytes_max: 6 MiB }}\n\
             log: {{ durability: {durability}, batch_bytes_max: 6 MiB }}\n"
        ))
    };
    let problems = parse("fsync").unwrap_err();
    assert!(problems[0].contains("log.batch_bytes_max"), "{problems:?}");
    parse("replicated").unwrap();
}

#[test]
fn dead_letters_are_kept_as_long_on_kafka_as_in_the_journal() {
    let kept = |text: &str| parse(text).unwrap().kafka.unwrap().dead_letters_retention;
    assert_eq!(kept("kafka: {}\n"), std::time::Duration::from_secs(30 * 86_400));
    let told = kept("log: { dead_letters_retention: 7 d }\nkafka: {}\n");
    assert_eq!(told, std::time::Duration::from_secs(7 * 86_400));
}

#[test]
fn durations_are_written_as_they_are_read() {
    for text in ["1 ms", "1500 ms", "5 s", "10 m", "24 h", "7 d"] {
        let duration = parse_duration(text).unwrap();
        assert_eq!(parse_duration(&format_duration(duration)), Some(duration), "{text}");
    }
    for text in ["", "5", "s", "1.5 h", "-1 s", "5 weeks", "18446744073709551615 d"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn any_bytes_are_refused_or_taken_without_a_panic() {
    let mut rng = millstream_runtime::Rng::from_seed(42);
    for _ in 0..2_000 {
        let mut bytes = QUICKSTART.as_bytes().to_vec();
        for _ in 0..1 + rng.below(8) {
            let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
            match rng.below(3) {
                0 => bytes[at] = u8::try_from(rng.below(128)).unwrap(),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b":-[]{}\n\t \"'"[usize::try_from(rng.below(11)).unwrap()]),
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Err(invalid) = Config::parse(Source::new("test.yaml", &text), &|_| None) {
            assert!(!invalid.render(Colour::None).is_empty());
        }
    }
}
