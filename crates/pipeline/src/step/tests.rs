use super::*;
use crate::event::{EventBuffers, Limits};

/// What a step made of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// It went on as this JSON.
    Kept(String),
    Filtered,
    /// It was rejected for this field, with this reason.
    Rejected(Option<String>, String),
}

/// Runs one step over one event.
pub(super) fn run(config: &StepConfig, json: &str) -> Made {
    let step = config.build().expect("the test's step");
    let mut buffers = EventBuffers::new();
    let mut event = buffers.read(json.as_bytes(), Limits::default()).expect("the test's event");
    match step.apply(&mut event, &mut StepContext::of_event_alone()) {
        Verdict::Keep => {
            let mut out = Vec::new();
            event.write_to(&mut out);
            Made::Kept(String::from_utf8(out).expect("events are UTF-8"))
        }
        Verdict::Filtered => Made::Filtered,
        Verdict::Duplicate => unreachable!("no state, no duplicate"),
        Verdict::Rejected { field, reason } => Made::Rejected(field, reason.into_owned()),
    }
}

pub(super) fn check_kept(config: &StepConfig, json: &str, expected: &str) {
    assert_eq!(run(config, json), Made::Kept(expected.to_owned()), "{json}");
}

pub(super) fn check_rejected(config: &StepConfig, json: &str, field: &str, reason: &str) {
    match run(config, json) {
        Made::Rejected(found, why) => {
            assert_eq!(found.as_deref(), Some(field), "{json}");
            assert!(why.contains(reason), "{json}: {why}");
        }
        other => panic!("{json}: {other:?}"),
    }
}

#[test]
fn every_step_refuses_to_name_no_field_or_one_twice() {
    let twice = || vec!["a".to_owned(), "a".to_owned()];
    let fields = |fields: Vec<String>| {
        [
            StepConfig::Require(require::Config { fields: fields.clone() }),
            StepConfig::Remove(remove::Config { fields: fields.clone() }),
            StepConfig::Timestamp(timestamp::Config { fields }),
        ]
    };
    for config in fields(Vec::new()) {
        assert_eq!(config.validate(), Err(StepError::Fields(0)), "{}", config.kind());
    }
    for config in fields(twice()) {
        assert_eq!(config.validate(), Err(StepError::Twice("a".to_owned())), "{}", config.kind());
    }
    for config in fields(vec!["a..b".to_owned()]) {
        assert!(matches!(config.validate(), Err(StepError::Path(_))), "{}", config.kind());
    }
}
