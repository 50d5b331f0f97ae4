//! `lag`: how far each task is behind, from the running node or out of the data directory.

use millstream_model::Classify as _;
use millstream_runtime::{Clock, Context};

use crate::cli::{Format, Global, LagArgs};
use crate::client::Client;
use crate::command::{ANSWER_TIME_MAX, find_node, offline};
use crate::exit::{Code, Failure};
use crate::lag::list;
use crate::output::{self, say, seconds, thousands};
use crate::status::{LagRow, Unit};

/// Prints how far each task is behind.
pub(crate) async fn run(global: &Global, args: &LagArgs) -> Result<Code, Failure> {
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let rows = match find_node(&cx, global).await? {
        Some(node) => {
            let answer =
                Client::new().get_json::<Vec<LagRow>>(&cx, node.admin, "/api/v1/lag").await;
            answer.map_err(|error| Failure::new(Code::Unavailable, error))?
        }
        None => read_offline(&cx, global).await?,
    };
    match global.format {
        Format::Json => output::print_json(&rows)?,
        Format::Text => output::print(&text(&rows))?,
    }
    for LagRow { task, problem, .. } in &rows {
        if let Some(problem) = problem {
            say(&format!("{task}: {problem}"));
        }
    }
    Ok(verdict(&rows, args.max_seconds))
}

async fn read_offline(cx: &Context, global: &Global) -> Result<Vec<LagRow>, Failure> {
    let data = offline::open(cx, global).await?;
    let listed = list(cx, data.shared_log(), &data.flow, Clock::system()).await;
    let listed = listed.map_err(|error| Failure::classified(error.class(), error));
    data.close(cx).await?;
    listed
}

/// Tells whether every task is near enough to its end; one whose delay is not known is not.
fn verdict(rows: &[LagRow], max_seconds: Option<u64>) -> Code {
    let Some(max) = max_seconds else { return Code::Done };
    let is_late = |row: &LagRow| row.delay_ms.is_none_or(|delay| delay > max.saturating_mul(1_000));
    if rows.iter().any(is_late) { Code::NotSo } else { Code::Done }
}

fn text(rows: &[LagRow]) -> String {
    let unit = rows.first().map_or(Unit::Records, |row| row.unit).as_str();
    let behind = format!("behind ({unit})");
    let headings = ["task", "input", "position", "end", behind.as_str(), "delay", "state"];
    let cells = |row: &LagRow| {
        vec![
            row.task.clone(),
            format!("{}/{}", row.topic, row.partition),
            row.next.to_string(),
            row.end.to_string(),
            thousands(row.lag),
            row.delay_ms.map_or_else(|| "?".to_owned(), seconds),
            state(row),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::table(&headings, &rows)
}

/// Says what the task does, as far as the one who was asked knows.
fn state(row: &LagRow) -> String {
    match (&row.problem, row.role.as_str(), &row.state) {
        (Some(_), ..) => "refused, see below".to_owned(),
        (None, "orphan", _) => "left the configuration".to_owned(),
        (None, _, Some(state)) => state.clone(),
        (None, _, None) => "not here".to_owned(),
    }
}

#[cfg(test)]
mod tests;
