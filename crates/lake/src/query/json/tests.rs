//! Tests of how values become JSON.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::record_batch::RecordBatch;
use serde_json::json;

use super::*;

#[test]
fn every_kind_of_value_has_its_json() {
    let time = TimestampMicrosecondArray::from(vec![Some(1_795_341_600_123_000), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN)]))),
        ("s", Arc::new(StringArray::from(vec![Some("a\"b\n"), None]))),
        ("t", Arc::new(time.with_timezone("+00:00"))),
        ("y", Arc::new(Date32Array::from(vec![Some(0), None]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    );
    let batch = batch.unwrap();
    let rows = Rows { schema: batch.schema(), batches: vec![batch] };
    assert_eq!(
        rows.to_json(),
        json!([
            {
                "b": true, "i": i64::MIN, "u": u64::MAX, "d": 0.5, "s": "a\"b\n",
                "t": "2026-11-22T10:00:00.123Z", "y": "1970-01-01"
            },
            {
                "b": null, "i": null, "u": null, "d": "NaN", "s": null, "t": null, "y": null
            },
        ])
    );
}

#[test]
fn text_is_aligned_cut_and_counted() {
    let long = "x".repeat(100);
    let names = StringArray::from(vec![Some("a"), Some("line\nbreak"), Some(long.as_str())]);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("n", Arc::new(Int64Array::from(vec![1, 20, 300]))), ("name", Arc::new(names))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let rows = Rows { schema: batch.schema(), batches: vec![batch] };
    let text = rows.to_text(10);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "  n  name");
    assert_eq!(lines[2..4], ["  1  a", " 20  line\u{fffd}break"]);
    assert!(lines[4].ends_with("x…") && lines[4].chars().count() == 65, "{}", lines[4]);
    assert_eq!(lines[5], "3 rows");
    assert_eq!(rows.to_text(1).lines().last(), Some("1 of 3 rows"));
}

#[test]
fn times_are_shown_to_the_millisecond_whatever_they_are() {
    let micros = [1_795_341_600_000_000, 1_795_341_600_910_000, 1_795_341_600_000_001];
    let times = |zone: Option<&str>| -> ArrayRef {
        let times = TimestampMicrosecondArray::from(micros.to_vec());
        match zone {
            Some(zone) => Arc::new(times.with_timezone(zone)),
            None => Arc::new(times),
        }
    };
    let columns =
        [("utc", times(Some("+00:00"))), ("here", times(Some("+02:00"))), ("naive", times(None))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let rows = Rows { schema: batch.schema(), batches: vec![batch] };
    let text = rows.to_text(10);
    let lines: Vec<&str> = text.lines().collect();
    let line = |millis: &str| {
        format!(
            "2026-11-22T10:00:00.{millis}Z  2026-11-22T12:00:00.{millis}+02:00  \
             2026-11-22T10:00:00.{millis}"
        )
    };
    assert_eq!(lines[2..5], [line("000"), line("910"), line("000")]);
}
