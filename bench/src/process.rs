//! Contestants as processes: started, pinned, sampled, stopped.
//!
//! Each contestant is a process of its own, so that its CPU time and its peak memory are its own.
//! Both are read from `/proc`, the same for every contestant whatever it is written in.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a contestant may take to be ready.
const READY_TIME_MAX: Duration = Duration::from_secs(120);

/// How long a contestant may take to end after SIGTERM.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);

/// The CPU time and memory of a process until now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// User and system time in seconds; the kernel counts in hundredths.
    pub(crate) cpu_seconds: f64,
    /// The largest resident set so far, in bytes.
    pub(crate) peak_bytes: u64,
}

impl Usage {
    /// Reads the usage of a process that runs; `self` reads this one's.
    pub(crate) fn read(process: &str) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        // The second field is the command in brackets and may contain anything.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/…/stat has another form")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        // Fields 14 and 15 of proc(5), counted from the third.
        let (user, system): (f64, f64) = (fields[11].parse()?, fields[12].parse()?);
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.context("/proc/…/status has no VmHWM")?.trim().trim_end_matches(" kB");
        #[expect(clippy::cast_precision_loss, reason = "100 on every Linux")]
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Ok(Self { cpu_seconds: (user + system) / ticks, peak_bytes: peak.parse::<u64>()? * 1024 })
    }
}

/// Where processes may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cores {
    /// Contestant and load generator each have a core of their own.
    Split,
    /// Both share all cores, as the scheduler likes.
    Shared,
}

impl Cores {
    /// Builds a command for a contestant's server.
    pub(crate) fn contestant(self, program: &Path) -> Command {
        self.pinned(program, "0")
    }

    /// Builds a command for the load generator.
    pub(crate) fn load(self, program: &Path) -> Command {
        self.pinned(program, "1")
    }

    fn pinned(self, program: &Path, core: &str) -> Command {
        match self {
            Self::Shared => Command::new(program),
            Self::Split => {
                let mut command = Command::new("taskset");
                command.args(["-c", core]).arg(program);
                command
            }
        }
    }
}

/// A process that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts a process whose output nobody reads.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command.stdout(Stdio::null()).stdin(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        Ok(Self { child })
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> Result<u32> {
        self.child.id().context("the process ended")
    }

    /// Returns what it used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::read(&self.id()?.to_string()).context("read the usage of a process")
    }

    /// Asks it to end, and waits until it has, in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.id()?)?).context("an id is above zero")?;
        kill_process(pid, Signal::TERM)?;
        let ended = tokio::time::timeout(STOP_TIME_MAX, self.child.wait()).await;
        let status = ended.context("the process does not end")??;
        ensure!(status.success(), "the process ended with {status}");
        Ok(())
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    /// Kept open: a server that still says something must not die of a closed pipe.
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said after `ready`.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server and waits for its line `ready <address>`.
    pub(crate) async fn start(mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let stdout = child.stdout.take().context("started with a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("ready ") {
                    return Ok(address.to_owned());
                }
            }
            bail!("{command:?} ended before it was ready")
        };
        let address =
            tokio::time::timeout(READY_TIME_MAX, ready).await.context("never ready")??;
        Ok(Self { running: Running { child }, lines, address })
    }

    /// Returns what the server used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.running.usage()
    }

    /// Asks the server to end, and waits until it has, in order.
    pub(crate) async fn stop(self) -> Result<()> {
        self.running.stop().await
    }

    /// Waits for the last line of a server that ends by itself.
    pub(crate) async fn last_line(mut self) -> Result<String> {
        let mut last = None;
        while let Some(line) = self.lines.next_line().await? {
            last = Some(line);
        }
        let status = self.running.child.wait().await?;
        ensure!(status.success(), "the process ended with {status}");
        last.context("a contestant that prints nothing")
    }
}

/// Runs a process to its end and returns the last line it printed.
pub(crate) async fn last_line(mut command: Command) -> Result<String> {
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("start {command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().last().context("a contestant that prints nothing")?.to_owned())
}
