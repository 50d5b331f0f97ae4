use super::*;

#[test]
fn only_tasks_of_pipelines_name_one() {
    let of = |id: &str| {
        let task = TaskId::new(id).expect("a legal id");
        pipeline_of(&task).map(str::to_owned)
    };
    assert_eq!(of("millstream.shop.clean.12").as_deref(), Some("shop"));
    for other in
        ["millstream.shop.sink.1", "millstream.spool.ab.clean.1", "other.shop.clean.1", "x"]
    {
        assert_eq!(of(other), None, "{other}");
    }
}
