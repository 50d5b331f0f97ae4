//! The one binary: configuration, roles, admin and commands.
//!
//! Start with [`cli`], which names the commands; each stands in `command/`. `run` wires the
//! crates together in [`node`] out of the parts in `role/`; the other commands find the running
//! node through its `node.json` ([`presence`]) and ask its admin API, or read the data directory.

mod accounting;
mod admin;
mod broken_invariant;
mod cli;
mod client;
mod command;
mod config;
mod data_dir;
mod dead_letters;
mod demo;
mod exit;
mod flow;
mod joining;
mod lag;
mod logging;
mod logs;
mod node;
mod observer;
mod orphans;
mod output;
mod presence;
mod progress;
mod reachable;
mod reading;
mod reset;
mod role;
mod roles;
mod signal;
mod status;
mod survey;
mod tap;
mod topics;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command, Global};
use crate::exit::{Code, Failure};

fn main() -> ExitCode {
    broken_invariant::abort_on_panic_of_the_journal();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let format = cli.global.format;
    match run(cli) {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.report(format);
            failure.code().into()
        }
    }
}

/// Shows help, a version or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Code::Done,
        _ => Code::Usage,
    };
    // Nobody is left to tell when the terminal is gone; the exit code still says it.
    drop(error.print());
    code.into()
}

fn run(cli: Cli) -> Result<Code, Failure> {
    let Cli { global, command } = cli;
    let arming = millstream_runtime::crash_point::arm_from_env();
    arming.map_err(|error| Failure::new(Code::Usage, error))?;
    logging::install(&global, logging::default_filter(&command))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("millstream")
        .build()
        .map_err(|error| Failure::io(error, "start the runtime"))?;
    let ended = runtime.block_on(dispatch(&global, command));
    // Whatever must be finished was awaited above; blocking work that is left may not hold us up.
    runtime.shutdown_background();
    ended
}

async fn dispatch(global: &Global, command: Command) -> Result<Code, Failure> {
    match command {
        Command::Run(args) => command::run::run(global, &args).await,
        Command::Validate(args) => command::validate::run(global, &args),
        Command::Query(args) => command::query::run(global, &args).await,
        Command::Reconcile(args) => command::reconcile::run(global, &args).await,
        Command::Demo(args) => command::demo::run(global, &args).await,
        Command::Dlq(args) => command::dead_letters::run(global, &args).await,
        Command::Tap(args) => command::tap::run(global, &args).await,
        Command::Lag(args) => command::lag::run(global, &args).await,
        Command::Topics(args) => command::topics::run(global, &args).await,
        Command::Spool(args) => command::spool::run(global, &args).await,
        Command::Tasks(args) => command::tasks::run(global, &args).await,
    }
}
