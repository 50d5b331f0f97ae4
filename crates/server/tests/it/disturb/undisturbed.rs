//! The same posts to one node that nobody disturbs, on the journal: its table says what every row of
//! the disturbed one has to be.

use std::collections::BTreeMap;

use serde_json::Value;

use super::load::Load;
use crate::kill::ledger::{Answer, Fate};
use crate::quickstart::rows;
use crate::sandbox::Sandbox;

/// Posts what was posted, as often, to a node of its own, and compares its rows with those of the
/// disturbed workers, column by column.
pub(crate) fn compare(pipeline: &str, load: &Load, disturbed: &[Value]) {
    let mut sandbox = Sandbox::with_config(pipeline);
    let node = sandbox.start();
    load.post_again(node.collector);
    sandbox.settle();
    let undisturbed = rows(&sandbox);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    let mut expected: BTreeMap<&str, &Value> =
        undisturbed.iter().map(|row| (id(row), row)).collect();
    assert_eq!(expected.len(), undisturbed.len(), "the undisturbed node has a row twice");
    for row in disturbed {
        // Taken out: what comes twice is not expected the second time.
        assert_eq!(Some(row), expected.remove(id(row)), "the row of {}", id(row));
    }
    // Only what was not answered may have come to nothing.
    for id in expected.keys() {
        let known = load.ledger().get(id);
        assert_eq!(
            known,
            Some((Fate::Row, Answer::Unknown)),
            "{id} has no row where workers were disturbed"
        );
    }
    println!(
        "compared {} rows of disturbed workers, column by column, with the {} of a node that had \
         the same posts and nobody disturbed: no difference; the other {} had no answer",
        disturbed.len(),
        undisturbed.len(),
        expected.len(),
    );
}

fn id(row: &Value) -> &str {
    row["message_id"].as_str().unwrap()
}
