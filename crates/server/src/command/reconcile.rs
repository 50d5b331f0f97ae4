//! `reconcile`: prints the books, and answers by its exit code whether they balance.

use millstream_model::Classify as _;
use millstream_runtime::Context;

use crate::accounting::{Absent, Books, Line, SpoolLine, reconcile};
use crate::cli::{Format, Global, ReconcileArgs};
use crate::client::Client;
use crate::command::{ANSWER_TIME_MAX, find_node, offline};
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::Flow;
use crate::output;
use crate::survey::{open_lake, survey};

mod deep;

/// Draws up the books and prints them.
pub(crate) async fn run(global: &Global, args: &ReconcileArgs) -> Result<Code, Failure> {
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let mut books = match find_node(&cx, global).await? {
        Some(node) => {
            let answer =
                Client::new().get_json::<Books>(&cx, node.admin, "/api/v1/reconcile").await;
            answer.map_err(|error| Failure::new(Code::Unavailable, error))?
        }
        None => reconcile_offline(&cx, global).await?,
    };
    let audits = if args.deep {
        deep::audit(&DataDir::new(&global.data), &mut books).await?
    } else {
        Vec::new()
    };
    match global.format {
        Format::Json => output::print_json(&deep::Report { books: &books, tables: &audits })?,
        Format::Text => output::print(&text(&books, &audits))?,
    }
    if !books.absent.is_empty() {
        let absent = absent(global, &books)?;
        // What does not add up matters more than what is not known here.
        if books.faults.is_empty() {
            return Err(absent);
        }
        output::say(&absent.to_string());
    }
    Ok(if books.balanced { Code::Done } else { Code::NotSo })
}

/// Says which tables are not here, where that is, and where they are.
fn absent(global: &Global, books: &Books) -> Result<Failure, Failure> {
    let lake = Flow::lake_of(&DataDir::new(&global.data));
    let lake = lake.map_err(|error| Failure::io(error, "read flow.json"))?;
    let said: Vec<String> = books.absent.iter().map(Absent::said).collect();
    let message = format!(
        "the books cannot be drawn up here: {}; looked at the tables in {} of data directory {}",
        said.join("; "),
        lake.display(),
        global.data_shown(),
    );
    Ok(Failure::message(Code::Unavailable, message).with_hint(super::TABLES_ELSEWHERE))
}

async fn reconcile_offline(cx: &Context, global: &Global) -> Result<Books, Failure> {
    let data = offline::open(cx, global, offline::Needs::Log).await?;
    let facts = async {
        let lake = open_lake(&data.dir).await?;
        survey(cx, &*data.shared_log(), lake.as_ref(), &data.flow).await
    };
    let facts = facts.await.map_err(|error| Failure::classified(error.class(), error));
    data.close(cx).await?;
    Ok(reconcile(&facts?))
}

fn text(books: &Books, audits: &[deep::TableAudit]) -> String {
    // Nearly always nothing was gone when it all began: the column would only raise questions.
    let is_late = books.lines.iter().any(|line| line.before > 0);
    let mut headings = vec![
        "pipeline → sink",
        "accepted",
        "created",
        "replayed",
        "stored",
        "dead-lettered",
        "filtered",
        "deduplicated",
        "in flight",
    ];
    headings.extend(is_late.then_some("before it began"));
    let row = |line: &Line| {
        let sink = line.sink.as_deref().unwrap_or("(no sink)");
        let mut row = vec![format!("{} → {sink}", line.pipelines.join(" + "))];
        let numbers = [
            line.accepted,
            line.created,
            line.replayed,
            line.stored,
            line.dead_lettered,
            line.filtered,
            line.deduplicated,
            line.in_flight,
        ];
        row.extend(numbers.iter().map(ToString::to_string));
        if line.at_least {
            // Accepted and in flight: the backlog was too large to be counted.
            row[1].insert_str(0, "≥ ");
            row[8].insert_str(0, "≥ ");
        }
        row.extend(is_late.then(|| line.before.to_string()));
        row
    };
    let rows: Vec<Vec<String>> = books.lines.iter().map(row).collect();
    let mut out = String::new();
    if !rows.is_empty() {
        out.push_str(&output::table(&headings, &rows));
        out.push('\n');
    }
    for line in &books.lines {
        out.push_str(&equation(line));
    }
    if let Some(spool) = &books.spool {
        out.push_str(&spool_equation(spool));
    }
    for audit in audits {
        out.push_str(&audit.text());
    }
    for fault in &books.faults {
        out.push_str(&format!("✗ {fault}\n"));
    }
    out.push_str(match (books.balanced, books.faults.is_empty()) {
        (true, _) => "balanced\n",
        (false, false) => "NOT balanced\n",
        (false, true) => "NOT known: a table is not here\n",
    });
    out
}

/// The lines above begin with what is in Kafka; this is what comes before them.
fn spool_equation(spool: &SpoolLine) -> String {
    let SpoolLine { accepted, forwarded, refused, waiting, before } = *spool;
    let sign = if accepted == spool.accounted() { "=" } else { "≠" };
    let (late, gone) = match before {
        0 => ("", String::new()),
        _ => (" + before it began", format!(" + {before}")),
    };
    format!(
        "spool of this node, before Kafka: accepted {sign} forwarded + refused + waiting{late}: \
         {accepted} {sign} {forwarded} + {refused} + {waiting}{gone}\n"
    )
}

fn equation(line: &Line) -> String {
    let sign = if line.inflow() == line.outflow() { "=" } else { "≠" };
    let late = if line.before > 0 { " + before it began" } else { "" };
    format!(
        "{}: accepted + created + replayed {sign} stored + dead-lettered + filtered + \
         deduplicated + in flight{late}: {} {sign} {}\n",
        line.sink.as_deref().unwrap_or("(no sink)"),
        line.inflow(),
        line.outflow(),
    )
}
