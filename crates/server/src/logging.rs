//! Logs: to stderr, as text or as JSON, filtered per module.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::cli::{Command, Format, Global};
use crate::exit::{Code, Failure};

/// What a node logs by default: state changes an operator would look for.
const NODE_FILTER: &str = "info";
/// What a short command logs by default: only what it has to say about trouble.
const COMMAND_FILTER: &str = "warn";

/// Returns what a command logs when nobody says otherwise.
pub(crate) fn default_filter(command: &Command) -> &'static str {
    match command {
        Command::Run(_) => NODE_FILTER,
        _ => COMMAND_FILTER,
    }
}

/// Sends logs to stderr.
pub(crate) fn install(global: &Global, default: &str) -> Result<(), Failure> {
    let directives = global.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::new(Code::Usage, anyhow::Error::new(error).context(format!("--log {directives}")))
            .with_hint("write a level, or levels per module as in `info,millstream_log=debug`")
    })?;
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    match global.log_format {
        Format::Text => builder.with_ansi(colours_on(&io::stderr())).with_target(false).init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Tells whether a stream takes colours: a terminal, and nobody said `NO_COLOR`.
pub(crate) fn colours_on(stream: &impl io::IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !refused && !dumb
}

/// Tells whether a person watches stderr.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
