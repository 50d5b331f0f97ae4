//! Queries and audits beside a writer.

use millstream_lake::{LakeError, Query};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;
use serde_json::json;

use crate::support::{House, batch, columns, config, event, input, inputs, position, write};

/// Queries block: they run beside the test's own runtime, as the command line does.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

async fn fill(house: &House) -> millstream_lake::IcebergSink {
    let cx = Context::background();
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, 0, 4).await.unwrap();
    sink.commit(&cx).await.unwrap();
    sink
}

#[test]
fn a_query_reads_rows_while_the_writer_is_open() {
    let (house, runtime) = (House::new(), runtime());
    let _writer = runtime.block_on(fill(&house));
    let query = Query::open(&house.lake_dir()).unwrap();
    let rows = query.sql("SELECT event, timestamp, n, properties FROM events ORDER BY n").unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(
        rows.to_json()[1],
        json!({
            "event": "click",
            "timestamp": "2026-11-21T10:11:12.345Z",
            "n": 1,
            "properties": r#"{"a":[1,"x"]}"#,
        })
    );
    let rows = query.sql("SELECT n, event FROM main.events ORDER BY n").unwrap();
    assert_eq!(rows.to_text(2), "n  event\n─  ─────\n0  click\n1  click\n2 of 4 rows\n");
    let rows = query.sql("SELECT count(*) AS count FROM events WHERE n >= 2").unwrap();
    assert_eq!(rows.to_json(), json!([{ "count": 2 }]));
}

#[test]
fn a_query_for_an_unknown_table_lists_the_tables() {
    let (house, runtime) = (House::new(), runtime());
    runtime.block_on(fill(&house));
    let query = Query::open(&house.lake_dir()).unwrap();
    let error = query.sql("SELECT * FROM event").unwrap_err();
    assert_eq!(error.to_string(), "table `event` does not exist; there is events");
    assert!(matches!(query.sql("SELEC 1"), Err(LakeError::Query(_))));
    assert!(matches!(query.sql("DROP TABLE events"), Err(LakeError::Query(_))));
}

#[test]
fn a_lake_that_is_not_there_is_named() {
    let house = House::new();
    let error = Query::open(&house.lake_dir()).unwrap_err();
    assert!(matches!(error, LakeError::NoLake { .. }), "{error}");
}

#[test]
fn a_column_just_added_can_be_left_out_of_a_query_before_its_first_row() {
    use millstream_pipeline::schema::{Column, ColumnType, Schema};
    let (house, runtime) = (House::new(), runtime());
    runtime.block_on(async {
        fill(&house).await;
        let mut more = columns();
        more.push(Column::new("channel", ColumnType::String).unwrap());
        let columns = std::sync::Arc::new(Schema::new(more).unwrap());
        let config = millstream_lake::Config { columns, ..config() };
        let mut sink = house.sink_of(config, house.seams());
        sink.open(&Context::background(), &inputs(1)).await.unwrap();
    });
    let query = Query::open(&house.lake_dir()).unwrap();
    assert_eq!(query.sql("SELECT * FROM events").unwrap().len(), 4);
}

#[tokio::test]
async fn an_audit_finds_rows_twice_missing_and_foreign() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = fill(&house).await;
    // The same record twice in one batch of rows: only a broken writer does that.
    let doubled = [event(4), event(5)];
    sink.write(&cx, &input(0), &batch(4, &doubled), position(6)).await.unwrap();
    sink.write(&cx, &input(0), &batch(5, &[event(5)]), position(7)).await.unwrap();
    sink.commit(&cx).await.unwrap();
    let report = house.report().await;
    let deep = report.deep.unwrap();
    assert_eq!((report.rows, deep.rows, deep.duplicates, deep.missing), (7, 7, 1, 1));
    let first = &deep.duplicates_named[0];
    assert_eq!((first.topic.as_str(), first.partition, first.offset), ("events-clean", 0, 5));
}
