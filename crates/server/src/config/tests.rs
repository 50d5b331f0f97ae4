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
    look("spool", keys(spool::FIELDS));
    look("topics", keys(topics::FIELDS));
    look("pipelines", keys(pipelines::WORKER_FIELDS));
    look("sinks", keys(sinks::FILES_FIELDS));
    look("sinks", keys(sinks::WORKER_FIELDS));
    assert_eq!(missing, Vec::<String>::new());
    for (kind, _) in steps::KINDS {
        assert!(reference.contains(&format!("`{kind}: ")), "step {kind}");
    }
}

fn keys<C>(fields: &[Field<C>]) -> Vec<&'static str> {
    fields.iter().map(|field| field.key).collect()
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
