//! `query`: SQL over the tables, beside a running node or without one.

use std::io;

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
    let dir = Flow::lake_of(&DataDir::new(&global.data));
    let dir = dir.map_err(|error| Failure::io(error, "read flow.json"))?;
    let sql = args.sql.clone();
    let ask = move || Query::open(&dir)?.sql(&sql);
    let answered = spawn_blocking(TaskKind("query"), ask).join().await;
    let rows = answered.map_err(|error| Failure::new(Code::Bug, error))?;
    let rows = rows.map_err(|error| failure(error, global))?;
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

fn failure(error: LakeError, global: &Global) -> Failure {
    match &error {
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
