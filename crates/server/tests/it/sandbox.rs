//! A place where the real binary runs: a data directory of its own, free ports, and no way to
//! outlive the test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long anything may take before a test gives up; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// The exit code of a process that SIGKILL ended.
pub(crate) const KILLED: i32 = 128 + 9;
/// The exit code that asks a supervisor to start the node again.
pub(crate) const TEMPORARY: i32 = 75;
/// How long to wait between two looks at something that changes by itself.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Lets the tests that load the machine for long have it one at a time: beside each other they
/// would only show what a machine does that is too small.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // A test that failed leaves the machine as it found it.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a command wrote and how it ended; a signal counts as 128 and its number.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Output {
    /// Reads stdout as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// What an HTTP server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status; 0 when the connection ended without one.
    pub(crate) status: u16,
    /// The status line and the headers, in lower case.
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Returns the value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(found, value)| (found == name).then_some(value))
    }
}

/// What stands for the collector of a node without one: nobody listens there.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Where a running node listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) collector: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A data directory and the node on it, if one runs.
#[derive(Debug)]
pub(crate) struct Sandbox {
    dir: TempDir,
    data: PathBuf,
    args: Vec<String>,
    running: Option<(Child, Node)>,
}

impl Sandbox {
    /// Makes an empty data directory.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self { dir, data, args: Vec::new(), running: None }
    }

    /// Makes an empty data directory whose nodes run with a configuration.
    pub(crate) fn with_config(yaml: &str) -> Self {
        let mut sandbox = Self::new();
        let path = sandbox.dir.path().join("millstream.yaml");
        std::fs::write(&path, yaml).unwrap();
        sandbox.args = vec!["-c".to_owned(), path.to_str().unwrap().to_owned()];
        sandbox
    }

    /// Adds arguments to `run`.
    pub(crate) fn with_args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Names another data directory, for nodes that run with a configuration.
    pub(crate) fn with_config_and_data(yaml: &str, data: &Path) -> Self {
        let mut sandbox = Self::with_config(yaml);
        data.clone_into(&mut sandbox.data);
        sandbox
    }

    /// Returns the path of the configuration, which there is.
    pub(crate) fn config(&self) -> String {
        let path = self.dir.path().join("millstream.yaml");
        path.to_str().expect("a temporary directory has a plain name").to_owned()
    }

    /// Returns the data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Returns the node, which runs.
    pub(crate) fn node(&self) -> Node {
        self.running.as_ref().expect("a node runs").1
    }

    /// Tells whether a node was started that nobody has seen end.
    pub(crate) fn is_started(&self) -> bool {
        self.running.is_some()
    }

    /// Returns the id of the node's process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("a node runs").0.id()
    }

    /// Starts a node and waits until it is ready.
    pub(crate) fn start(&mut self) -> Node {
        self.try_start_with(None).expect("no crash point is armed")
    }

    /// Starts a node and waits until it is ready; `None` when it ended because something is away for
    /// now: a supervisor starts it again.
    pub(crate) fn start_unless_temporary(&mut self) -> Option<Node> {
        match self.launch(None) {
            Ok(node) => Some(node),
            Err(code) => {
                assert_eq!(code, TEMPORARY, "the node did not start: {}", self.log());
                println!("a node could not start yet: {}", self.log());
                None
            }
        }
    }

    /// Starts a node, a crash point armed where one is named; `None` when that killed it before
    /// it was ready.
    pub(crate) fn try_start_with(&mut self, crash_point: Option<&str>) -> Option<Node> {
        match self.launch(crash_point) {
            Ok(node) => Some(node),
            // Ending by itself is no crash: a node that refuses to start must not pass for one.
            Err(code) => {
                assert_eq!(code, KILLED, "the node did not start: {}", self.log());
                None
            }
        }
    }

    /// Starts a node and waits until it is ready; the code with which it ended before.
    pub(crate) fn launch(&mut self, crash_point: Option<&str>) -> Result<Node, i32> {
        assert!(self.running.is_none(), "a node runs already");
        // A node that was killed leaves its file behind; the next one must not be taken for it.
        drop(std::fs::remove_file(self.data().join("node.json")));
        let log = std::fs::File::create(self.log_path()).unwrap();
        let mut command = binary();
        command.arg("run").args(&self.args).arg("--data").arg(self.data());
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(crash_point) = crash_point {
            command.env("MILLSTREAM_CRASH_POINT", crash_point);
        }
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Err(code_of(status));
            }
            if let Some(node) = self.read_node(child.id()) {
                self.running = Some((child, node));
                return Ok(node);
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the node is not ready after {PATIENCE:?}: {}", self.log());
            }
            pause();
        }
    }

    fn read_node(&self, pid: u32) -> Option<Node> {
        let text = std::fs::read(self.data().join("node.json")).ok()?;
        let info: Value = serde_json::from_slice(&text).ok()?;
        let address = |key: &str| info[key].as_str()?.parse().ok();
        let collector = address("collector").unwrap_or(NOWHERE);
        let node = Node { collector, admin: address("admin")? };
        (info["pid"].as_u64() == Some(u64::from(pid))).then_some(node)
    }

    /// Kills the node with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks the node to drain and waits for its end; returns its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal("TERM");
        let (mut child, _) = self.running.take().expect("a node runs");
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return code_of(status);
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the node did not stop: {}", self.log());
            }
            pause();
        }
    }

    /// Sends a signal to the node.
    pub(crate) fn signal(&self, name: &str) {
        let (child, _) = self.running.as_ref().expect("a node runs");
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let signal = match name {
            "TERM" => rustix::process::Signal::TERM,
            "INT" => rustix::process::Signal::INT,
            "STOP" => rustix::process::Signal::STOP,
            "CONT" => rustix::process::Signal::CONT,
            other => panic!("signal {other}"),
        };
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops the node in order and starts it again.
    pub(crate) fn restart(&mut self) -> Node {
        assert_eq!(self.stop(), 0, "{}", self.log());
        self.start()
    }

    /// Waits until the node ended by itself and returns its exit code; `None`, and the node is
    /// killed, when it did not in time.
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            let (child, _) = self.running.as_mut().expect("a node runs");
            if let Some(status) = child.try_wait().unwrap() {
                self.running = None;
                return Some(code_of(status));
            }
            if began.elapsed() > patience {
                self.kill();
                return None;
            }
            pause();
        }
    }

    /// Waits until something is so.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        mut is_so: impl FnMut(&Self) -> bool,
    ) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(
                began.elapsed() < patience,
                "not so after {patience:?}: {what}: {}",
                self.log()
            );
            pause();
        }
    }

    /// Waits until nothing is in flight and the books balance.
    pub(crate) fn settle(&self) {
        self.wait_until("nothing is in flight", PATIENCE, |sandbox| {
            let output = sandbox.run(&["reconcile", "--format", "json"]);
            let Ok(books) = serde_json::from_str::<Value>(&output.stdout) else { return false };
            let lines = books["books"].as_array().unwrap();
            lines.iter().all(|line| line["in_flight"] == 0) && books["balanced"] == true
        });
    }

    /// Runs a command on the data directory.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let data = self.data();
        let mut all = args.to_vec();
        all.extend(["--data", data.to_str().unwrap()]);
        run_in(self.dir.path(), &all)
    }

    /// Runs a query and returns its rows.
    pub(crate) fn query(&self, sql: &str) -> Value {
        let output = self.run(&["query", "--format", "json", sql]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.json()
    }

    /// Returns how many rows the table `events` has; zero while it cannot be read.
    pub(crate) fn row_count(&self) -> usize {
        let output = self.run(&["query", "--format", "json", "SELECT count(*) AS n FROM events"]);
        let rows: Option<Value> = serde_json::from_str(&output.stdout).ok();
        let count = rows.and_then(|rows| rows[0]["n"].as_u64()).unwrap_or(0);
        usize::try_from(count).unwrap()
    }

    /// Returns what the node says of the tasks of its spool, one for each partition; none while it
    /// does not say.
    pub(crate) fn spool_tasks(&self) -> Vec<Value> {
        let (_, body) = self.get("/api/v1/status");
        let status: Value = serde_json::from_str(&body).unwrap_or_default();
        let mut tasks = status["tasks"].as_array().cloned().unwrap_or_default();
        tasks.retain(|task| {
            task["task"].as_str().is_some_and(|task| task.starts_with("millstream.spool."))
        });
        tasks
    }

    /// Posts a body to the collector and returns status and body.
    pub(crate) fn post(&self, body: &str) -> (u16, String) {
        let answer = self.post_for_answer(body);
        (answer.status, answer.body)
    }

    /// Posts a body to the collector and returns the whole answer.
    pub(crate) fn post_for_answer(&self, body: &str) -> Answer {
        self.post_with_headers("", body)
    }

    /// Posts a body to the collector with whole header lines, and returns the whole answer.
    pub(crate) fn post_with_headers(&self, headers: &str, body: &str) -> Answer {
        self.send("/track", headers, body)
    }

    /// Posts a body to a path of the collector, its query included, and returns the whole answer.
    pub(crate) fn post_to(&self, path: &str, body: &str) -> Answer {
        self.send(path, "", body)
    }

    fn send(&self, path: &str, headers: &str, body: &str) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        exchange(self.node().collector, &format!("{head}{body}"))
    }

    /// Asks the admin API and returns status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.node().admin, path)
    }

    /// Returns what the node logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("node.log")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for, on a thread of ours")]
fn pause() {
    thread::sleep(LOOK_INTERVAL);
}

/// Asks an HTTP server and returns status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, &request);
    (answer.status, answer.body)
}

fn exchange(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Returns the binary under test, without the environment's say in colours and logs.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.env("NO_COLOR", "1").env_remove("MILLSTREAM_CRASH_POINT");
    command
}

/// Runs a command in a directory and waits for its end.
pub(crate) fn run_in(dir: &Path, args: &[&str]) -> Output {
    let output = binary().current_dir(dir).args(args).stdin(Stdio::null()).output().unwrap();
    Output {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: code_of(output.status),
    }
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
