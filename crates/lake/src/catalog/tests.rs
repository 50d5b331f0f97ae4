//! Tests of compare and set, and of readers beside the writer.

use millstream_runtime::disk::RealDisk;

use super::*;

fn table() -> TableName {
    TableName::new("events").unwrap()
}

#[tokio::test]
async fn a_swap_goes_through_only_from_the_version_that_stands() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(&RealDisk, &dir.path().join("catalog.db")).await.unwrap();
    assert_eq!(catalog.location(&table()).await.unwrap(), None);
    assert_eq!(catalog.insert(&table(), "v0").await.unwrap(), Swap::Done);
    assert_eq!(catalog.insert(&table(), "other").await.unwrap(), Swap::Lost);
    assert_eq!(catalog.swap(&table(), "v0", "v1").await.unwrap(), Swap::Done);
    assert_eq!(catalog.swap(&table(), "v0", "v2").await.unwrap(), Swap::Lost);
    assert_eq!(catalog.location(&table()).await.unwrap().as_deref(), Some("v1"));
    assert_eq!(catalog.tables().await.unwrap(), [table()]);
}

#[tokio::test]
async fn a_reader_sees_commits_beside_an_open_writer_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let missing = SqliteCatalog::open_read_only(&path).await.unwrap_err();
    assert!(matches!(missing, LakeError::NoLake { .. }));
    std::fs::write(&path, b"").unwrap();
    let empty = SqliteCatalog::open_read_only(&path).await.unwrap_err();
    assert!(matches!(empty, LakeError::NoLake { .. }), "as a kill at the first start leaves it");
    let writer = SqliteCatalog::open(&RealDisk, &path).await.unwrap();
    let reader = SqliteCatalog::open_read_only(&path).await.unwrap();
    writer.insert(&table(), "v0").await.unwrap();
    assert_eq!(reader.location(&table()).await.unwrap().as_deref(), Some("v0"));
    writer.swap(&table(), "v0", "v1").await.unwrap();
    assert_eq!(reader.location(&table()).await.unwrap().as_deref(), Some("v1"));
    reader.swap(&table(), "v1", "v2").await.unwrap_err();
}

#[tokio::test]
async fn commits_are_synced_to_the_write_ahead_log() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(&RealDisk, &dir.path().join("catalog.db")).await.unwrap();
    let pragma = async |name: &str| {
        let row = sqlx::query(name).fetch_one(&catalog.pool).await.unwrap();
        row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string()))
    };
    assert_eq!(pragma("PRAGMA journal_mode").await.unwrap(), "wal");
    assert_eq!(pragma("PRAGMA synchronous").await.unwrap(), "2", "FULL");
}
