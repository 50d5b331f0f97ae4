//! The embedded catalog has the layout that iceberg's SQL catalogs share.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::io::LocalFsStorageFactory;
use iceberg::{Catalog as _, CatalogBuilder as _, NamespaceIdent, TableIdent};
use iceberg_catalog_sql::{SqlBindStyle, SqlCatalogBuilder};
use millstream_lake::{CATALOG_NAME, NAMESPACE};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::{House, inputs, offsets, write};

#[tokio::test]
async fn the_iceberg_crates_sql_catalog_opens_it_and_its_commits_are_walked_through() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, 0, 10).await.unwrap();
    sink.commit(&cx).await.unwrap();

    let dir = house.lake_dir();
    let catalog = SqlCatalogBuilder::default()
        .uri(format!("sqlite:{}/catalog.db?mode=rw", dir.display()))
        .warehouse_location(format!("file://{}/warehouse", dir.display()))
        .sql_bind_style(SqlBindStyle::QMark)
        .with_storage_factory(Arc::new(LocalFsStorageFactory))
        .load(CATALOG_NAME, HashMap::new())
        .await
        .unwrap();
    let namespace = NamespaceIdent::new(NAMESPACE.to_owned());
    let ident = TableIdent::new(namespace.clone(), "events".to_owned());
    assert_eq!(catalog.list_tables(&namespace).await.unwrap(), std::slice::from_ref(&ident));
    let table = catalog.load_table(&ident).await.unwrap();

    use iceberg::transaction::{ApplyTransactionAction as _, Transaction};
    let transaction = Transaction::new(&table);
    let action = transaction.update_table_properties().set("owner".to_owned(), "me".to_owned());
    action.apply(transaction).unwrap().commit(&catalog).await.unwrap();

    write(&mut sink, 0, 10, 20).await.unwrap();
    sink.commit(&cx).await.unwrap();
    house.assert_rows(20, 1).await;
    let opened = sink.open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [20]);
    let table = catalog.load_table(&ident).await.unwrap();
    assert_eq!(table.metadata().properties()["owner"], "me");
}
