use millstream_model::{Headers, Offset, RecordBatch, Timestamp, TopicName};

use super::*;
use crate::schema::{Column, ColumnType};
use crate::step::require;

fn settings() -> Settings {
    Settings {
        pipeline: "test".to_owned(),
        steps: Vec::new(),
        schema: None,
        limits: Limits::default(),
        input_partitions: 1,
        output_partitions: 1,
    }
}

fn batch(values: &[&str]) -> OffsetBatch {
    let mut records = RecordBatchBuilder::new();
    for value in values {
        records.push_with(Timestamp::EPOCH, None, Headers::EMPTY, |out| {
            out.extend_from_slice(value.as_bytes());
        });
    }
    OffsetBatch { first: Offset(10), records: records.finish() }
}

fn clean(cleaner: &mut Cleaner, values: &[&str]) -> (RecordBatch, Vec<DeadLetter>, Counts) {
    let origin = TopicPartition::new(TopicName::new("events").unwrap(), 0);
    let mut outputs = cleaner.outputs(0);
    cleaner.clean(&origin, &batch(values), &mut outputs);
    let letters = outputs.dead.finish();
    let letters = letters.iter().map(|letter| DeadLetter::parse(letter.headers).unwrap()).collect();
    (outputs.clean.remove(0).finish(), letters, outputs.counts)
}

/// A step with a bug.
#[derive(Debug)]
struct Panics;

impl Step for Panics {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        let path = crate::event::Path::parse("bad").unwrap();
        event.set(&path, |json| json.push('1')).unwrap();
        assert!(!event.is_changed() || event.remove(&path).is_err(), "a bug of the step");
        Verdict::Keep
    }
}

#[test]
fn a_step_that_panics_rejects_that_event_alone() {
    let mut cleaner = Cleaner::new(&settings()).unwrap();
    let fields = vec!["a".to_owned()];
    let require = StepConfig::Require(require::Config { fields }).build().unwrap();
    cleaner.steps.push(NamedStep { name: "1:require".to_owned(), step: require });
    cleaner.steps.push(NamedStep { name: "2:panics".to_owned(), step: Box::new(Panics) });
    let (clean_records, letters, counts) = clean(&mut cleaner, &[r#"{"a":1}"#, "{}", r#"{"a":2}"#]);
    assert!(clean_records.is_empty());
    let steps: Vec<_> = letters.iter().map(|letter| letter.step.as_str()).collect();
    assert_eq!(steps, ["2:panics", "1:require", "2:panics"]);
    assert_eq!(letters[0].reason, "step panicked: a bug of the step");
    assert_eq!(letters[2].origin.offset, Offset(12));
    assert_eq!(counts, Counts { read: 3, rejected: 3, ..Counts::default() });
    cleaner.steps.pop();
    let (clean_records, ..) = clean(&mut cleaner, &[r#"{"a":3}"#]);
    assert_eq!(clean_records.iter().next().unwrap().value, Some(br#"{"a":3}"#.as_slice()));
}

#[test]
fn what_does_not_fit_the_schema_is_rejected_by_the_last_step() {
    let column = Column::new("n", ColumnType::Int).unwrap().required();
    let schema = Some(Arc::new(Schema::new(vec![column]).unwrap()));
    let mut cleaner = Cleaner::new(&Settings { schema, ..settings() }).unwrap();
    let (clean_records, letters, _) = clean(&mut cleaner, &[r#"{"n":1}"#, r#"{"n":"1"}"#, "{}"]);
    assert_eq!(clean_records.len(), 1);
    let found: Vec<_> =
        letters.iter().map(|letter| (letter.step.as_str(), letter.field.as_deref())).collect();
    assert_eq!(found, [("1:schema", Some("n")), ("1:schema", Some("n"))]);
    assert_eq!(letters[0].reason, "is a string, int needs a number");
    assert_eq!(letters[1].reason, "column `n` requires a value");
}

#[test]
fn a_step_that_cannot_be_built_is_named() {
    let fields = vec!["a..b".to_owned()];
    let steps = vec![StepConfig::Require(require::Config { fields })];
    let error = Cleaner::new(&Settings { steps, ..settings() }).unwrap_err();
    assert!(
        error.to_string().starts_with("step 1 (require): `a..b` is not a field path"),
        "{error}"
    );
}
