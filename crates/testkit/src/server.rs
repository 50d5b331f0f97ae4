//! A server process: how it is started, asked whether it is ready, stopped, killed, paused.
//!
//! ```text
//!            launch            it answers
//!   down ───────────▶ starting ──────────▶ ready ◀─── resume ─── paused
//!    ▲                                       │ ──── pause ─────▶   │
//!    └────────────── stop, kill ─────────────┴────────────────────┘
//! ```
//!
//! Ports, files and command line are fixed when the server is made: a restart finds the same ones.

mod group;
mod home;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::patience;

pub use home::Home;

/// How long the kernel may take to end or to stop a process it was told to.
const SIGNAL_WITHIN: Duration = Duration::from_secs(30);
/// How much of its log an error about a server shows.
const LOG_LINES: usize = 40;
/// Becomes the server once it is told to: by then whoever cleans up after us knows of it.
const LAUNCHER: &str = r#"read -r go && exec "$@""#;

/// Asks a server once, with a bounded wait, whether it is ready; the error says what is missing.
pub type Ready = Box<dyn Fn() -> Result<()> + Send + Sync>;

/// How a server is run.
pub struct Recipe {
    /// The program. It stays in the foreground.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment, beside ours.
    pub environment: Vec<(OsString, OsString)>,
    /// Asks whether it is ready.
    pub ready: Ready,
    /// How long it may take until it is.
    pub ready_within: Duration,
    /// How long it may take to stop when asked to.
    pub stop_within: Duration,
}

/// A server of a test's own. It ends with this value, or with the test process, whatever happens
/// to that.
#[derive(Debug)]
pub struct Server {
    recipe: Recipe,
    process: Option<Child>,
    /// After the process: dropping it removes the files.
    home: Home,
}

impl Server {
    /// Makes a server that is down.
    pub fn new(home: Home, recipe: Recipe) -> Self {
        Self { recipe, process: None, home }
    }

    /// Starts it and waits until it is ready: seconds.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_until_ready()
    }

    /// Starts it and does not wait.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(!self.is_running()?, "{} runs already", self.home.name());
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.with_context(|| format!("open {}", self.log().display()))?;
        let mut child = Command::new("sh")
            .args(["-c", LAUNCHER, "launcher"])
            .arg(&self.recipe.program)
            .args(&self.recipe.arguments)
            .envs(self.recipe.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            // Its own group: all that it starts is signalled with it, and Ctrl-C on the terminal
            // reaches the test only.
            .process_group(0)
            .spawn()
            .context("start sh")?;
        let pid = Pid::from_child(&child);
        let stdin = child.stdin.take();
        self.process = Some(child);
        self.home.guard(pid)?;
        stdin.context("started with a pipe")?.write_all(b"go\n").context("start the server")
    }

    /// Waits until it answers, or ends, or its time is over.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let mut missing = None;
        let limit = self.recipe.ready_within;
        let ready = patience::ask_until(limit, || {
            if !self.is_running()? {
                bail!("its process has ended");
            }
            match (self.recipe.ready)() {
                Ok(()) => Ok(Some(())),
                Err(error) => {
                    missing = Some(error);
                    Ok(None)
                }
            }
        });
        let error = match (ready, missing) {
            (Ok(Some(())), _) => return Ok(()),
            (Err(error), _) | (Ok(None), Some(error)) => error,
            (Ok(None), None) => anyhow::anyhow!("it was never asked"),
        };
        let (name, log) = (self.home.name(), self.log_tail());
        bail!("{name} is not ready ({limit:?} at most): {error:#}; the end of its log:\n{log}")
    }

    /// Asks it once whether it is ready.
    pub fn ask(&self) -> Result<()> {
        (self.recipe.ready)()
    }

    /// Asks it to stop (`SIGTERM`) and waits for its end: seconds.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        // One that is paused could not take the request.
        self.signal(Signal::CONT)?;
        let limit = self.recipe.stop_within;
        let process = self.process.as_mut().context("signalled above")?;
        if patience::wait_for_end(process, limit)?.is_none() {
            self.kill()?;
            bail!(
                "{} did not stop within {limit:?}; killed:\n{}",
                self.home.name(),
                self.log_tail()
            );
        }
        self.ended()
    }

    /// Kills it (`SIGKILL`) and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let process = self.process.as_mut().context("signalled above")?;
        if patience::wait_for_end(process, SIGNAL_WITHIN)?.is_none() {
            bail!("{} does not die", self.home.name());
        }
        self.ended()
    }

    /// Stops it in its tracks (`SIGSTOP`): its connections stay open, and nothing answers.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let pid = Pid::from_child(self.process.as_ref().context("signalled above")?);
        let stopped = patience::ask_until(SIGNAL_WITHIN, || {
            // In `D` one waits in the kernel, for a disk or a stopped child, and stops on its way out.
            let states = group::states(pid)?;
            Ok(states.iter().all(|state| matches!(state, 'T' | 'D')).then_some(()))
        })?;
        stopped.with_context(|| format!("{} does not stop", self.home.name()))
    }

    /// Lets it go on (`SIGCONT`).
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Returns whether the process is there, paused or not.
    pub fn is_running(&mut self) -> Result<bool> {
        let Some(process) = &mut self.process else { return Ok(false) };
        if process.try_wait().context("ask the server for its end")?.is_none() {
            return Ok(true);
        }
        self.ended()?;
        Ok(false)
    }

    /// Returns the process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Returns the file with all that it wrote to its standard output and error.
    pub fn log(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// Returns the last lines of its log.
    pub fn log_tail(&self) -> String {
        patience::tail(&self.log(), LOG_LINES)
    }

    /// Returns the directory with its files.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        let name = self.home.name();
        let process = self.process.as_ref().with_context(|| format!("{name} does not run"))?;
        kill_process_group(Pid::from_child(process), signal)
            .with_context(|| format!("send {signal:?} to {name}"))
    }

    /// Forgets the process, which has been waited for, and ends what it may have left behind.
    fn ended(&mut self) -> Result<()> {
        let Some(process) = self.process.take() else { return Ok(()) };
        let pid = Pid::from_child(&process);
        match kill_process_group(pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).context("end what the server left behind"),
        }
        let gone = patience::ask_until(SIGNAL_WITHIN, || {
            Ok(group::states(pid)?.is_empty().then_some(()))
        })?;
        gone.with_context(|| format!("a child of {} does not die", self.home.name()))?;
        self.home.unguard()
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "the one place to say that a process was left")]
    fn drop(&mut self) {
        if self.process.is_some()
            && let Err(error) = self.kill()
        {
            eprintln!("{}: {error:#}", self.home.name());
        }
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}
