//! The directory of a server, and the guard that cleans up when nobody else can.
//!
//! A test process may be killed at any moment, and a server in a `static` is never dropped. The
//! kernel's parent-death signal is no help: it is sent when the *thread* dies that started the
//! child, and a test is a thread. So each home has a guard, a shell that reads a pipe of which the
//! test process alone holds the other end. However that process ends, the kernel closes the pipe;
//! then the guard kills the server's process group and removes the directory. Dropping a home
//! closes the pipe too: there is one way to clean up.
//!
//! ```text
//!   <temporary directory>/millstream-test-XXXX/   one a test process
//!     failed                                      after a panic: keep the logs
//!     kafka-XXXX/                                 one a server
//!       data/ server.log …
//! ```

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// Reads the process group to kill, or `none`; the last line before the end counts. What a process
/// that is being killed still writes may make the first removal fail.
const GUARD: &str = r#"
trap '' HUP INT TERM
group=none
while read -r line; do group=$line; done
[ "$group" = none ] || kill -s KILL -- "-$group"
if [ -e "$1/failed" ]; then
  rm -rf "$2/data" || { sleep 1; rm -rf "$2/data"; }
else
  rm -rf "$2" || { sleep 1; rm -rf "$2"; }
  rmdir "$1"
fi
"#;

/// A directory of a server's own, removed at the end, whatever that is. After a panic in the test
/// process only `data` is removed, and the logs stay.
#[derive(Debug)]
pub struct Home {
    name: String,
    path: PathBuf,
    guard: Child,
    pipe: Option<ChildStdin>,
}

impl Home {
    /// Makes a home with an empty `data` for a server of that name.
    pub fn create(name: &str) -> Result<Self> {
        let mut run = RUN.lock().unwrap_or_else(PoisonError::into_inner);
        // Made anew when the last home that went took it along.
        if !run.as_deref().is_some_and(Path::is_dir) {
            *run = Some(create_run()?);
        }
        let run = run.as_deref().context("made above")?;
        let path = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(run);
        let path = path.context("make a directory for a server")?.keep();
        fs::create_dir(path.join("data")).context("make the directory for its data")?;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .args([run, &path])
            .stdin(Stdio::piped())
            // An inherited pipe would keep whoever reads the tests' output waiting.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start sh")?;
        let pipe = guard.stdin.take();
        Ok(Self { name: name.to_owned(), path, guard, pipe })
    }

    /// Returns the name of the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory for what the server stores.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Makes the guard responsible for this process group.
    pub(super) fn guard(&mut self, group: Pid) -> Result<()> {
        self.tell(&group.as_raw_nonzero().to_string())
    }

    /// Takes the process group, which is gone, from the guard.
    pub(super) fn unguard(&mut self) -> Result<()> {
        self.tell("none")
    }

    fn tell(&mut self, line: &str) -> Result<()> {
        let pipe = self.pipe.as_mut().context("open until dropped")?;
        pipe.write_all(format!("{line}\n").as_bytes()).context("the guard is gone")
    }
}

impl Drop for Home {
    #[expect(clippy::print_stderr, reason = "the one place to say that files were left")]
    fn drop(&mut self) {
        // Closed under the lock: the guard may remove the directory that the next home is made in.
        let _run = RUN.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.pipe.take());
        if let Err(error) = self.guard.wait() {
            eprintln!("clean up {}: {error}", self.path.display());
        }
    }
}

/// The directory of this test process.
static RUN: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Makes the directory of this test process, and has a panic leave its mark there.
fn create_run() -> Result<PathBuf> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            keep_logs();
            before(panic);
        }));
    });
    let run = tempfile::Builder::new().prefix("millstream-test-").tempdir();
    Ok(run.context("make a directory for this test process")?.keep())
}

#[expect(clippy::print_stderr, reason = "tells where the logs of a failed test are")]
fn keep_logs() {
    // Not waited for: the thread that panics may hold it itself.
    let Ok(run) = RUN.try_lock() else { return };
    if let Some(run) = run.as_deref().filter(|run| run.is_dir())
        && File::create(run.join("failed")).is_ok()
    {
        eprintln!("the logs of the servers stay in {}", run.display());
    }
}
