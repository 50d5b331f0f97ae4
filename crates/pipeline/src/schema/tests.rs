use std::sync::Arc;

use super::*;

fn read(column_type: ColumnType, json: &str) -> Result<String, String> {
    let column = Column::new("a", column_type).unwrap();
    let mut reader = RowReader::new(Arc::new(Schema::new(vec![column]).unwrap()));
    let row = reader.read(format!("{{\"a\":{json}}}").as_bytes());
    match row {
        Ok(mut row) => Ok(format!("{:?}", row.next().unwrap())),
        Err(misfit) => Err(misfit.reason),
    }
}

#[test]
fn values_are_converted_strictly() {
    let fits = |column_type, json, expected: &str| {
        assert_eq!(read(column_type, json).as_deref(), Ok(expected), "{json}");
    };
    fits(ColumnType::String, r#""x\u00e9""#, "String(\"xé\")");
    fits(ColumnType::Boolean, "false", "Boolean(false)");
    fits(ColumnType::Int, "-2147483648", "Int(-2147483648)");
    fits(ColumnType::Long, "9007199254740993", "Long(9007199254740993)");
    fits(ColumnType::Double, "1e3", "Double(1000.0)");
    fits(ColumnType::Timestamptz, r#""1970-01-01T01:00:01.5+01:00""#, "Timestamptz(1500000)");
    fits(ColumnType::Date, r#""1970-01-02""#, "Date(1)");
    fits(ColumnType::Json, r#"{"k": [1, "\u0041"]}"#, r#"Json("{\"k\": [1, \"\\u0041\"]}")"#);
    for column_type in ColumnType::ALL {
        fits(column_type, "null", "Null");
    }
}

#[test]
fn misfits_say_what_is_wrong() {
    let check = |column_type, json, expected: &str| {
        let reason = read(column_type, json).expect_err(json);
        assert!(reason.contains(expected), "{json}: {reason}");
    };
    check(ColumnType::String, "1", "is a number, string needs a string");
    check(ColumnType::String, r#""\ud800""#, "lone surrogate");
    check(ColumnType::Boolean, "\"true\"", "is a string, boolean needs a boolean");
    check(ColumnType::Int, "2147483648", "not a whole number in the range of int");
    check(ColumnType::Int, "1.0", "not a whole number");
    check(ColumnType::Long, "9223372036854775808", "not a whole number in the range of long");
    check(ColumnType::Double, "1e400", "out of a double's range");
    check(ColumnType::Double, "[]", "is an array");
    check(ColumnType::Timestamptz, "1795342272345", "is a number");
    check(ColumnType::Timestamptz, r#""2026-11-22 10:11:12""#, "use the step `timestamp`");
    check(ColumnType::Date, r#""2026-02-29""#, "not a date");
}

#[test]
fn a_row_has_one_value_per_column_in_order() {
    let columns = vec![
        Column::new("event", ColumnType::String).unwrap().required(),
        Column::new("channel", ColumnType::String)
            .unwrap()
            .at(Path::parse("properties.channel").unwrap()),
        Column::new("properties", ColumnType::Json).unwrap(),
        Column::new("count", ColumnType::Long).unwrap(),
    ];
    let mut reader = RowReader::new(Arc::new(Schema::new(columns).unwrap()));
    let row: Vec<_> =
        reader.read(br#"{"properties":{"channel":"web"},"event":"click"}"#).unwrap().collect();
    let properties = Value::Json(r#"{"channel":"web"}"#);
    assert_eq!(row, [Value::String("click"), Value::String("web"), properties, Value::Null]);
    let misfit = reader.read(b"{}").map(drop).unwrap_err();
    assert_eq!(misfit.field.as_deref(), Some("event"));
    assert_eq!(misfit.reason, "column `event` requires a value");
    assert_eq!(reader.read(b"[]").map(drop).unwrap_err().field, None);
}

#[test]
fn columns_that_make_no_schema_are_refused() {
    let column = |name| Column::new(name, ColumnType::String).unwrap();
    assert_eq!(Schema::new(Vec::new()), Err(SchemaError::Count(0)));
    let twice = Schema::new(vec![column("a"), column("A")]);
    assert_eq!(twice, Err(SchemaError::Duplicate("A".to_owned())));
    assert!(matches!(Schema::new(vec![column("_ms_offset")]), Err(SchemaError::Name(_))));
}

#[test]
fn types_are_found_by_their_names() {
    for column_type in ColumnType::ALL {
        assert_eq!(ColumnType::from_name(column_type.as_str()), Some(column_type));
    }
    assert_eq!(ColumnType::from_name("text"), None);
}
