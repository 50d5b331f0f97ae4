//! `query`: SQL over the tables, beside a running node or without one.

use std::io;
use std::path::Path;

use millstream_lake::{LakeError, Query};
use millstream_model::Classify as _;
use millstream_runtime::{TaskKind, spawn_blocking};

use crate::cli::{Format, Global, QueryArgs};
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::Flow;
use crate::output;

/// The most rows that are laid out for people.
const ROWS_SHOWN_MAX: usize = 1_000;

/// Runs the query and prints its rows.
pub(crate) async fn run(global: &Global, args: &QueryArgs) -> Result<Code, Failure> {
    let data = DataDir::new(&global.data);
    let flow = Flow::read(data.path()).map_err(|error| Failure::io(error, "read flow.json"))?;
    let flow = flow.unwrap_or_default();
    let dir = flow.lake.clone().unwrap_or_else(|| data.lake());
    let lake = dir.clone();
    let sql = args.sql.clone();
    let ask = move || Query::open(&dir)?.sql(&sql);
    let answered = spawn_blocking(TaskKind("query"), ask).join().await;
    let rows = answered.map_err(|error| Failure::new(Code::Bug, error))?;
    let rows = rows.map_err(|error| failure(error, global, (&flow, &lake)))?;
    match global.format {
        Format::Text => output::print(&rows.to_text(ROWS_SHOWN_MAX))?,
        Format::Json => output::print_json(&rows.to_json())?,
    }
    if rows.is_empty() {
        output::say(&format!(
            "nothing found in data directory {}; `{}` shows what is still on its way",
            global.data_shown(),
            global.command("reconcile"),
        ));
    }
    Ok(Code::Done)
}

fn failure(error: LakeError, global: &Global, (flow, lake): (&Flow, &Path)) -> Failure {
    let fills = |name: &str| flow.sinks.iter().any(|sink| sink.table == name);
    match &error {
        LakeError::NoLake { .. } if flow.kafka.is_some() => elsewhere(error, global, lake),
        LakeError::UnknownTable { name, .. } if flow.kafka.is_some() && fills(name) => {
            elsewhere(error, global, lake)
        }
        LakeError::NoLake { .. } => {
            let message = format!("no tables in data directory {}", global.data_shown());
            Failure::new(Code::Unavailable, anyhow::Error::new(error).context(message))
                .with_hint(super::start_or_name(global))
        }
        LakeError::UnknownTable { .. } => {
            let hint = format!(
                "these are the tables of data directory {}; --data DIR names another",
                global.data_shown()
            );
            Failure::new(Code::BadData, error).with_hint(hint)
        }
        LakeError::Query(_) => Failure::new(Code::BadData, error),
        LakeError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(Code::NoPermission, error)
        }
        _ => Failure::classified(error.class(), error),
    }
}

/// A table of the configuration, which another worker may have.
fn elsewhere(error: LakeError, global: &Global, lake: &Path) -> Failure {
    let message = format!(
        "this table is not here; looked at the tables in {} of data directory {}",
        lake.display(),
        global.data_shown(),
    );
    let error = anyhow::Error::new(error).context(message);
    Failure::new(Code::Unavailable, error).with_hint(super::TABLES_ELSEWHERE)
}
