use super::super::{FlowPipeline, FlowSink};
use super::*;

fn pipeline(name: &str, from: &str) -> FlowPipeline {
    let [name, from, to, dead_letters] = [name, from, "clean", "dead"].map(str::to_owned);
    FlowPipeline { name, from, to, dead_letters }
}

fn sink(name: &str, from: &str, table: &str) -> FlowSink {
    let [name, from, table, dead_letters] = [name, from, table, "dead"].map(str::to_owned);
    FlowSink { name, from, table, dead_letters }
}

fn flow(pipelines: &[FlowPipeline], sinks: &[FlowSink]) -> Flow {
    Flow { pipelines: pipelines.to_vec(), sinks: sinks.to_vec(), ..Flow::default() }
}

#[test]
fn a_pipeline_that_reads_on_under_another_name_is_found() {
    let check = |next: &[FlowPipeline], expected: Option<&str>| {
        let last = flow(&[pipeline("shop", "raw")], &[]);
        let found = check(&last, &flow(next, &[]), &Renames::default())
            .err()
            .map(|renamed| renamed.to_string());
        assert_eq!(found.as_deref(), expected, "{next:?}");
    };
    let renamed = "pipeline `shop` is gone and the new pipeline `store` reads the same topic `raw`";
    check(&[pipeline("store", "raw")], Some(renamed));
    check(&[pipeline("other", "events"), pipeline("store", "raw")], Some(renamed));
    // It goes on, it has a second reader beside it, it is gone, it makes place for another topic.
    check(&[pipeline("shop", "raw")], None);
    check(&[pipeline("shop", "raw"), pipeline("store", "raw")], None);
    check(&[], None);
    check(&[pipeline("store", "events")], None);
}

#[test]
fn a_sink_that_fills_its_table_under_another_name_is_found() {
    let check = |next: &[FlowSink], expected: Option<&str>| {
        let last = flow(&[], &[sink("shop", "clean", "orders")]);
        let found = check(&last, &flow(&[], next), &Renames::default())
            .err()
            .map(|renamed| renamed.to_string());
        assert_eq!(found.as_deref(), expected, "{next:?}");
    };
    let renamed = "sink `shop` is gone and the new sink `store` fills the same table `orders` \
                   from the same topic `clean`";
    check(&[sink("store", "clean", "orders")], Some(renamed));
    check(&[sink("shop", "clean", "orders")], None);
    check(&[], None);
    check(&[sink("store", "clean", "orders_2")], None);
    check(&[sink("store", "other", "orders")], None);
}

#[test]
fn what_says_that_it_was_renamed_is_no_surprise() {
    let last = flow(&[pipeline("shop", "raw")], &[sink("shop", "clean", "orders")]);
    let next = flow(&[pipeline("store", "raw")], &[sink("store", "clean", "orders")]);
    let names = |old: &str| [("store".to_owned(), old.to_owned())].into();
    let check = |pipeline: &str, sink: &str| {
        let renames = Renames { pipelines: names(pipeline), sinks: names(sink) };
        check(&last, &next, &renames).err().map(|renamed| renamed.hint())
    };
    assert_eq!(check("shop", "shop"), None);
    let hint = check("shop", "other").unwrap();
    assert!(hint.contains("add `renamed_from: shop` to `sinks.store`"), "{hint}");
    let hint = check("other", "shop").unwrap();
    assert!(hint.contains("add `renamed_from: shop` to `pipelines.store`"), "{hint}");
}
