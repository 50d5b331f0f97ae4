//! Tests of the configuration's limits.

use millstream_pipeline::schema::Column;

use super::*;

fn config() -> Config {
    let columns = vec![
        Column::new("at", ColumnType::Timestamptz).unwrap(),
        Column::new("day", ColumnType::Date).unwrap(),
        Column::new("name", ColumnType::String).unwrap(),
    ];
    Config::new("events", Arc::new(Schema::new(columns).unwrap()))
}

fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let mut config = config();
    change(&mut config);
    config.validate().unwrap_err().to_string()
}

#[test]
fn partitionings_read_as_they_print() {
    for text in ["none", "day(at)", "hour(at)"] {
        assert_eq!(text.parse::<PartitionBy>().unwrap().to_string(), text);
    }
    assert_eq!(" day ( at )".parse(), Ok(PartitionBy::Day("at".to_owned())));
    for text in ["", "day", "day()", "month(at)", "day(at", "none(at)"] {
        let error = text.parse::<PartitionBy>().unwrap_err().to_string();
        assert!(error.contains("use none, day(<column>)"), "{error}");
    }
}

#[test]
fn defaults_are_valid_and_values_out_of_range_are_named() {
    config().validate().unwrap();
    assert!(refusal(|c| c.table = "Events".to_owned()).contains("`Events` is not a table name"));
    assert!(refusal(|c| c.file_bytes_max = ByteSize(1)).contains("`file_bytes_max` is 1 B"));
    assert!(refusal(|c| c.snapshots_max = 1).contains("`snapshots_max` is 1, allowed is 2"));
    assert!(refusal(|c| c.manifests_max = 1).contains("`manifests_max`"));
    assert!(refusal(|c| c.stage_max = Duration::ZERO).contains("`stage_max`"));
}

#[test]
fn a_partition_column_must_exist_and_have_a_time() {
    let with = |text: &str| Config { partition_by: text.parse().unwrap(), ..config() };
    for text in ["day(at)", "day(day)", "hour(at)", "none"] {
        with(text).validate().unwrap();
    }
    for text in ["day(name)", "day(other)", "hour(day)"] {
        let error = with(text).validate().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
