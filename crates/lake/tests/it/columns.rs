//! A table and a configuration that differ.

use std::sync::Arc;

use millstream_lake::{Config, PartitionBy};
use millstream_model::ErrorClass;
use millstream_pipeline::schema::{Column, ColumnType, Schema};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::{House, columns, config, inputs, write};

fn with_columns(columns: Vec<Column>) -> Config {
    Config { columns: Arc::new(Schema::new(columns).unwrap()), ..config() }
}

async fn fill(house: &House, config: Config, from: u64, to: u64) {
    let cx = Context::background();
    let mut sink = house.sink_of(config, house.seams());
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, from, to).await.unwrap();
    sink.commit(&cx).await.unwrap();
}

async fn refusal(house: &House, config: Config) -> String {
    let mut sink = house.sink_of(config, house.seams());
    let error = sink.open(&Context::background(), &inputs(1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    error.to_string()
}

#[tokio::test]
async fn an_optional_column_that_is_new_is_added() {
    let house = House::new();
    fill(&house, config(), 0, 10).await;
    let mut more = columns();
    more.push(Column::new("channel", ColumnType::String).unwrap());
    fill(&house, with_columns(more), 10, 20).await;
    house.assert_rows(20, 1).await;
    // The older configuration still fits: the column it does not know stays empty.
    fill(&house, config(), 20, 30).await;
    house.assert_rows(30, 1).await;
}

#[tokio::test]
async fn a_required_column_that_is_new_is_refused() {
    let house = House::new();
    fill(&house, config(), 0, 10).await;
    let mut more = columns();
    more.push(Column::new("channel", ColumnType::String).unwrap().required());
    let text = refusal(&house, with_columns(more)).await;
    assert!(text.contains("`channel`") && text.contains("make it optional"), "{text}");
}

#[tokio::test]
async fn a_column_of_another_type_is_refused() {
    let house = House::new();
    fill(&house, config(), 0, 10).await;
    let mut other = columns();
    other[2] = Column::new("n", ColumnType::String).unwrap();
    let text = refusal(&house, with_columns(other)).await;
    assert!(text.contains("`n` has type long in the table, string"), "{text}");
}

#[tokio::test]
async fn a_column_that_became_optional_is_refused() {
    let house = House::new();
    fill(&house, config(), 0, 10).await;
    let mut other = columns();
    other[0] = Column::new("event", ColumnType::String).unwrap();
    let text = refusal(&house, with_columns(other)).await;
    assert!(text.contains("`event` is required in the table"), "{text}");
}

#[tokio::test]
async fn another_partitioning_is_refused() {
    let house = House::new();
    fill(&house, config(), 0, 10).await;
    let other = Config { partition_by: PartitionBy::None, ..config() };
    let text = refusal(&house, other).await;
    assert!(text.contains("[timestamp_day]") && text.contains("partition_by: none"), "{text}");
}

#[tokio::test]
async fn tables_without_partitions_and_by_hour_work() {
    for partition_by in [PartitionBy::None, PartitionBy::Hour("timestamp".to_owned())] {
        let house = House::new();
        let config = Config { partition_by, ..config() };
        fill(&house, config.clone(), 0, 10).await;
        fill(&house, config, 10, 20).await;
        house.assert_rows(20, 1).await;
    }
}
