//! Exit codes, after BSD's sysexits: what a script may rely on.
//!
//! `docs/reference/cli.md` is the table for users; a failure carries its code, its cause and,
//! where there is one, the next step.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use millstream_model::ErrorClass;
use millstream_runtime::Cancelled;

use crate::cli::Format;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// What was asked for is done.
    Done = 0,
    /// What was asked for is not so: the books do not balance.
    NotSo = 1,
    /// The command line is wrong.
    Usage = 64,
    /// The input is wrong: a query that cannot be planned.
    BadData = 65,
    /// Something the command needs is not there: no node answers.
    Unavailable = 69,
    /// A mistake of ours.
    Bug = 70,
    /// A file or directory could not be created.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Not now: the directory or the port is taken, or draining did not end in time.
    TryAgain = 75,
    /// The operating system did not permit it.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    error: anyhow::Error,
    hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl Failure {
    /// Builds a failure.
    pub(crate) fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into(), hint: None }
    }

    /// Builds a failure from a message alone.
    pub(crate) fn message(code: Code, message: impl fmt::Display) -> Self {
        Self::new(code, anyhow::Error::msg(message.to_string()))
    }

    /// Builds a failure from an input or output error, whose kind decides the code.
    pub(crate) fn io(error: io::Error, what: impl fmt::Display) -> Self {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => Code::NoPermission,
            io::ErrorKind::AddrInUse | io::ErrorKind::WouldBlock => Code::TryAgain,
            io::ErrorKind::AddrNotAvailable => Code::Unavailable,
            _ => Code::Io,
        };
        Self::new(code, anyhow::Error::new(error).context(what.to_string()))
    }

    /// Builds a failure from an error whose class decides the code.
    pub(crate) fn classified(class: ErrorClass, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let code = match class {
            ErrorClass::Transient | ErrorClass::Overloaded | ErrorClass::Cancelled => {
                Code::TryAgain
            }
            ErrorClass::Invalid => Code::BadData,
            ErrorClass::Corrupt => Code::Io,
            ErrorClass::Bug => Code::Bug,
        };
        let denied = |cause: &(dyn std::error::Error + 'static)| {
            let error = cause.downcast_ref::<io::Error>();
            error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        let code = if error.chain().any(denied) { Code::NoPermission } else { code };
        Self { code, error, hint: None }
    }

    /// Says what to do next.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Tells whether a cluster does not answer, or not in time, so that waiting may be all it takes.
    pub(crate) fn may_pass(&self) -> bool {
        self.error
            .chain()
            .any(|cause| millstream_log_kafka::is_away(cause) || cause.is::<Cancelled>())
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Writes the failure to stderr, in the format asked for.
    pub(crate) fn report(&self, format: Format) {
        let text = match format {
            Format::Text => match &self.hint {
                Some(hint) => format!("error: {:#}\n hint: {hint}\n", self.error),
                None => format!("error: {:#}\n", self.error),
            },
            Format::Json => {
                let row = serde_json::json!({
                    "error": format!("{:#}", self.error),
                    "exit_code": self.code as u8,
                    "hint": self.hint,
                });
                format!("{row}\n")
            }
        };
        // Nobody is left to tell when stderr itself is gone; the exit code still says it.
        drop(io::stderr().write_all(text.as_bytes()));
    }
}
