//! The life of a process, shown on a shell that writes to a file.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use millstream_testkit::{Home, Port, Recipe, Server};

use crate::process::{group, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
/// Tells a test that it is the child of another one, and how to end.
const CHILD: &str = "MILLSTREAM_TESTKIT_CHILD";

/// Returns a server whose script is ready once `ready` is in its home. `$1` is its home.
fn server(script: &str) -> Server {
    let home = Home::create("shell").unwrap();
    let ready = home.path().join("ready");
    let arguments = ["-c", script, "shell"].map(Into::into).into_iter();
    let recipe = Recipe {
        program: PathBuf::from("sh"),
        arguments: arguments.chain([home.path().into()]).collect(),
        environment: Vec::new(),
        ready: Box::new(move || {
            ensure!(ready.is_file(), "the file is not there");
            Ok(())
        }),
        ready_within: PATIENCE,
        stop_within: PATIENCE,
    };
    Server::new(home, recipe)
}

/// Ticks as long as it runs, in a child process of its own.
const TICKS: &str =
    r#"touch "$1/ready"; (while :; do echo tick >>"$1/ticks"; sleep 0.01; done) & wait"#;

fn ticks(server: &Server) -> u64 {
    fs::metadata(server.directory().join("ticks")).map_or(0, |file| file.len())
}

fn expect_ticks(server: &Server) {
    let before = ticks(server);
    wait_until(|| ticks(server) > before);
}

#[test]
fn a_killed_server_takes_its_children_along_and_starts_again_on_its_files() {
    let mut server = server(TICKS);
    server.start().unwrap();
    expect_ticks(&server);
    let pid = server.pid().unwrap();
    server.kill().unwrap();
    assert_eq!(group(pid), "", "all of it is gone");
    assert!(!server.is_running().unwrap());
    let before = ticks(&server);
    server.start().unwrap();
    assert!(ticks(&server) >= before, "its files are gone");
    expect_ticks(&server);
}

#[test]
fn a_paused_server_does_nothing_until_it_goes_on() {
    let mut server = server(TICKS);
    server.start().unwrap();
    expect_ticks(&server);
    server.pause().unwrap();
    assert!(server.is_running().unwrap());
    let pid = server.pid().unwrap();
    assert!(group(pid).chars().all(|state| "TD".contains(state)), "{}", group(pid));
    let before = ticks(&server);
    assert_eq!(ticks(&server), before);
    server.resume().unwrap();
    expect_ticks(&server);
}

#[test]
fn a_paused_server_can_be_stopped() {
    let mut server = server(TICKS);
    server.start().unwrap();
    server.pause().unwrap();
    server.stop().unwrap();
    assert!(!server.is_running().unwrap());
}

#[test]
fn a_server_that_ends_early_is_an_error_with_its_log() {
    let mut server = server("echo the port is taken; exit 3");
    let error = format!("{:#}", server.start().unwrap_err());
    assert!(error.contains("its process has ended"), "{error}");
    assert!(error.contains("the port is taken"), "{error}");
    assert!(server.stop().is_err(), "there is nothing to stop");
}

#[test]
fn its_files_go_with_it() {
    let mut server = server(TICKS);
    server.start().unwrap();
    let (pid, directory) = (server.pid().unwrap(), server.directory().to_owned());
    drop(server);
    assert_eq!(group(pid), "", "all of it is gone");
    assert!(!directory.is_dir());
}

#[test]
fn a_test_process_that_is_killed_leaves_neither_process_nor_files() {
    let (mut child, pid, directory) = child("waits");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until(|| group(pid).is_empty() && !directory.is_dir());
}

#[test]
fn after_a_panic_the_logs_stay_and_the_data_go() {
    let (mut child, pid, directory) = child("panics");
    assert!(!child.wait().unwrap().success());
    wait_until(|| group(pid).is_empty() && !directory.join("data").is_dir());
    assert!(directory.join("server.log").is_file());
    fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

/// Runs the test below, and returns what process group and directory its server has.
fn child(end: &str) -> (Child, u32, PathBuf) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::ends_with_a_server_running", "--nocapture"])
        .env(CHILD, end)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find_map(|line| line.split_once("running: ").map(|(_, rest)| rest.to_owned()));
    let line = line.expect("the child says what it runs");
    let (pid, directory) = line.split_once(' ').unwrap();
    (child, pid.parse().unwrap(), PathBuf::from(directory))
}

/// Not a test by itself: what the tests above start.
#[test]
#[expect(clippy::print_stdout, reason = "tells the parent what to look for")]
fn ends_with_a_server_running() {
    let Some(end) = std::env::var_os(CHILD) else { return };
    let mut server = server(TICKS);
    server.start().unwrap();
    println!("running: {} {}", server.pid().unwrap(), server.directory().display());
    assert_ne!(end, "panics");
    loop {
        std::thread::park();
    }
}

#[test]
fn reserved_ports_are_different_and_outside_the_range_of_outgoing_connections() {
    let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
    let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), ports.len());
    let outgoing = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = outgoing.split_whitespace().next().unwrap().parse().unwrap();
    assert!(numbers.iter().all(|number| *number < first), "{numbers:?} {first}");
}
