//! The commands, one file each: take the arguments, do it, say what came of it.

pub(crate) mod dead_letters;
pub(crate) mod demo;
pub(crate) mod lag;
pub(crate) mod offline;
pub(crate) mod query;
pub(crate) mod reconcile;
pub(crate) mod run;
pub(crate) mod spool;
pub(crate) mod tap;
pub(crate) mod tasks;
pub(crate) mod topics;
pub(crate) mod validate;

use std::time::Duration;

use millstream_runtime::Context;

use crate::cli::Global;
use crate::client::Client;
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::presence::NodeInfo;

/// How long a command that reads waits for its answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// The hint where a table lies with another worker, or nowhere.
const TABLES_ELSEWHERE: &str = "where Kafka is the log a table lies with the worker that has the sink role: ask \
     there, with its --data DIR, or let workers that share a disk share `lake.path`; if this is that \
     worker, its /readyz says why the sink has not made the table, or refuses it";

/// Finds the node that runs on the data directory, which must answer.
async fn running_node(cx: &Context, global: &Global) -> Result<NodeInfo, Failure> {
    let node = find_node(cx, global).await?;
    node.ok_or_else(|| {
        let message = format!("no node runs on data directory {}", global.data_shown());
        Failure::message(Code::Unavailable, message).with_hint(start_or_name(global))
    })
}

/// Refuses a data directory on which a node runs: the command needs it for itself.
async fn refuse_running(cx: &Context, global: &Global) -> Result<(), Failure> {
    let Some(node) = find_node(cx, global).await? else { return Ok(()) };
    let message = format!("a node runs on data directory {}", global.data_shown());
    let hint = format!("stop it first, it is process {}", node.pid);
    Err(Failure::message(Code::TryAgain, message).with_hint(hint))
}

/// The hint where a command finds nothing on its data directory.
fn start_or_name(global: &Global) -> String {
    let run = global.command("run");
    format!("start a node with `{run}`, or name the directory of another with --data DIR")
}

/// Finds the node that runs on the data directory; `None` when there is none, also when a crash
/// left its `node.json` behind.
async fn find_node(cx: &Context, global: &Global) -> Result<Option<NodeInfo>, Failure> {
    let data = DataDir::new(&global.data);
    let info = NodeInfo::read(data.path())
        .map_err(|error| Failure::io(error, format!("read {}", data.path().display())))?;
    let Some(info) = info else { return Ok(None) };
    match Client::new().get_json::<NodeInfo>(cx, info.admin, "/api/v1/node").await {
        // Another node took the port of one that crashed.
        Ok(answering) if answering != info => Ok(None),
        Ok(answering) => Ok(Some(answering)),
        Err(error) if error.is_connection_refused() => Ok(None),
        Err(error) => Err(Failure::new(Code::Unavailable, error)
            .with_hint(format!("the node is process {} by its node.json", info.pid))),
    }
}
