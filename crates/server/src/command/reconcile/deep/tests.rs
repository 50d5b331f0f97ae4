use millstream_lake::TableName;
use millstream_lake::position::{Others, PositionMap};

use super::*;

fn audit(others: Others, deep: DeepReport) -> TableAudit {
    let table = TableName::new("events").unwrap();
    let (positions, rows) = (PositionMap::default(), deep.rows);
    TableAudit::of(&TableReport { table, positions, rows, others, deep: Some(deep) })
}

#[test]
fn what_others_removed_is_named_and_no_fault() {
    let others = Others { added: 0, removed: 10 };
    let audit = audit(others, DeepReport { rows: 50, ..DeepReport::default() });
    assert_eq!(audit.faults(), Vec::<String>::new());
    assert!(audit.text().ends_with("; others added 0 and removed 10\n"), "{}", audit.text());
}

#[test]
fn rows_that_are_missing_or_that_nobody_counts_are_faults() {
    let missing = DeepReport { missing: 3, ..DeepReport::default() };
    let faults = audit(Others::default(), missing).faults();
    assert_eq!(faults, ["table events: 3 rows are counted and not there"]);
    let surplus = DeepReport { surplus: 2, ..DeepReport::default() };
    let faults = audit(Others::default(), surplus).faults();
    assert_eq!(faults, ["table events: 2 rows are there and not counted"]);
}
