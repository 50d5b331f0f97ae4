//! Somebody else who writes to the same table.

use std::collections::HashMap;

use iceberg::spec::{Operation, Snapshot, Summary, TableMetadataBuilder};
use millstream_lake::Swap;

use super::{House, table};

/// Commits a version of the table that somebody else made.
pub(crate) async fn foreign(
    house: &House,
    change: impl FnOnce(TableMetadataBuilder) -> iceberg::Result<TableMetadataBuilder>,
) {
    let lake = house.lake().await;
    let base = lake.load(&table()).await.unwrap();
    let builder = (*base.metadata).clone().into_builder(Some(base.location.clone()));
    let metadata = change(builder).unwrap().build().unwrap().metadata;
    let id = uuid::Uuid::new_v4();
    let location = format!("{}/metadata/99999-{id}.metadata.json", metadata.location());
    let path = location.strip_prefix("file://").unwrap();
    std::fs::write(path, serde_json::to_vec(&metadata).unwrap()).unwrap();
    let swap = lake.catalog().swap(&table(), &base.location, &location).await.unwrap();
    assert_eq!(swap, Swap::Done);
}

/// What a snapshot of somebody else does.
pub(crate) struct Foreign<'n> {
    pub(crate) id: i64,
    pub(crate) operation: Operation,
    /// The manifest list that says what is in the table then; a copy of it is named.
    pub(crate) like: String,
    pub(crate) numbers: &'n [(&'n str, u64)],
}

/// Commits a snapshot of somebody else on top of the current one.
pub(crate) async fn snapshot(house: &House, others: Foreign<'_>) {
    let version = house.lake().await.load(&table()).await.unwrap();
    let list = format!("{}/metadata/snap-{}.avro", version.metadata.location(), others.id);
    let path = |location: &str| location.strip_prefix("file://").unwrap().to_owned();
    std::fs::copy(path(&others.like), path(&list)).unwrap();
    let numbers =
        others.numbers.iter().map(|(key, number)| ((*key).to_owned(), number.to_string()));
    let additional_properties: HashMap<String, String> = numbers.collect();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(others.id)
        .with_parent_snapshot_id(version.metadata.current_snapshot_id())
        .with_sequence_number(version.metadata.next_sequence_number())
        .with_timestamp_ms(version.metadata.last_updated_ms() + 1)
        .with_manifest_list(list)
        .with_summary(Summary { operation: others.operation, additional_properties })
        .with_schema_id(0)
        .build();
    foreign(house, |builder| builder.set_branch_snapshot(snapshot, "main")).await;
}
