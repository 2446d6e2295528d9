//! The command line: what it takes, what it says where, and what its status is.

use std::fmt::Display;
use std::net::TcpListener;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::edge::{get_now, lines_of};
use crate::harness::ports::{free_address, free_addresses};
use crate::harness::process::{run, without_positions};
use crate::harness::target::refusing;
use crate::harness::{Config, Edge, Process, Target, eventually};

/// Ends the process in the background that a test has started.
struct InBackground(TempDir);

impl InBackground {
    fn pid(&self) -> Option<String> {
        std::fs::read_to_string(self.0.path().join("pid")).ok()
    }
}

impl Drop for InBackground {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            kill("KILL", &pid);
        }
    }
}

fn kill(signal: &str, pid: &str) {
    let pid = pid.trim();
    Command::new("kill").args(["-s", signal, pid]).status().ok();
}

#[tokio::test]
async fn in_the_background_the_command_ends_when_the_process_serves() {
    let [listen, admin] = free_addresses();
    let config = Config::answering("hello").listen(listen).admin(admin);
    let folder = with_file(&config.top("accessLog: {path: access.log}, server: {pidFile: pid}"));
    let served = InBackground(folder);

    let diagnostics = std::fs::File::create(served.0.path().join("diagnostics")).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["-d", "-c", "edge.yaml"])
        .current_dir(served.0.path())
        .stderr(diagnostics)
        .status();

    assert_eq!(status.unwrap().code(), Some(0));
    assert!(get_now(admin, "/readyz").unwrap().contains(" 200 "));
    assert!(get_now(listen, "/").unwrap().ends_with("hello"));
    let pid = served.pid().expect("a pid file");
    // The sixth field is the session, which a terminal's is not.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    assert_eq!(stat.split(' ').nth(5), Some(pid.trim()));
    kill("TERM", &pid);
    eventually("it ends, and its pid file goes", || {
        served.pid().is_none().then_some(())
    })
    .await;
    let log = served.0.path().join("access.log");
    let is_whole = || (lines_of(&log).len() == 1).then_some(());
    eventually("the line of its request", is_whole).await;
}

#[test]
fn in_the_background_a_process_that_cannot_serve_is_a_failure_of_the_command() {
    let folder = with_file(&Config::answering("hello").rule("listenerPort: 1"));
    let message =
        "edge.yaml: accessLog.path: is required with -d, which gives standard output up\n";
    check(&folder, &["-d", "-c", "edge.yaml"], 1, "", message);

    let taken = TcpListener::bind(free_address()).unwrap();
    let [admin] = free_addresses();
    let config = Config::answering("hello").listen(taken.local_addr().unwrap());
    let folder = with_file(&config.admin(admin).top("accessLog: {path: access.log}"));
    let output = run(&["-d", "-c", "edge.yaml"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("forwardingRules[0] \"edge\": cannot listen on"),
        "{said}"
    );
    assert!(
        said.contains("-d: the process ended before it served: exit status: 1"),
        "{said}"
    );
}

#[test]
fn an_unknown_argument_is_refused() {
    let folder = with_file(&Config::answering("hello").rule("listenerPort: 1"));
    for arguments in [["--frobnicate"], ["serve"]] {
        let output = run(&arguments, folder.path());
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        assert!(text(&output.stderr).contains(arguments[0]));
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_and_nothing_is_half_started() {
    let taken = TcpListener::bind(free_address()).unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let [free, admin] = free_addresses();
    let config = Config::answering("hello").listen(free).admin(admin);
    let second = config.add_rule("second").listen(taken.0);
    let folder = with_file(&second.http_rules("{name: all, type: STATIC, responseMessage: ''}"));
    let path = folder.path().join("edge.yaml");

    let mut process = Process::start(&["-c", path.to_str().unwrap()]);
    let mut answers = Vec::new();
    while process.is_running() {
        answers.extend(get_now(free, "/"));
        answers.extend(get_now(admin, "/livez"));
    }

    assert_eq!(process.ended().await.code(), Some(1));
    assert_eq!(answers, [""; 0]);
    let said = process.diagnostics();
    let problem = format!(
        "{}: forwardingRules[1] \"second\": cannot listen on {}: Address already in use (os error 98)",
        path.display(),
        taken.0
    );
    assert_eq!(problems(&said), [problem]);
    assert_eq!(process.lines(), [""; 0]);
}

#[test]
fn everything_that_cannot_be_had_is_reported_at_once() {
    let taken = TcpListener::bind(free_address()).unwrap();
    let admin = taken.local_addr().unwrap();
    // Nobody has an address for documentation (RFC 5737).
    let config = Config::answering("hello").listen("192.0.2.1:8080".parse().unwrap());
    let config = config
        .admin(admin)
        .top("accessLog: {path: missing/access.log}");
    let folder = with_file(&config);

    let output = run(&["-c", "edge.yaml"], folder.path());

    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let expected = [
        "edge.yaml: accessLog.path: No such file or directory (os error 2)".to_owned(),
        format!("edge.yaml: admin.listen: cannot listen on {admin}: Address already in use (os error 98)"),
        "edge.yaml: forwardingRules[0] \"edge\": cannot listen on 192.0.2.1:8080: Cannot assign requested address (os error 99)"
            .to_owned(),
    ];
    assert_eq!(problems(text(&output.stderr)), expected);
}

#[test]
fn a_port_that_needs_a_right_is_named_with_the_right() {
    let [admin] = free_addresses();
    let folder = with_file(
        &Config::answering("hello")
            .rule("listenerPort: 81")
            .admin(admin),
    );
    // Whoever may (root) gives the right up first; whoever may not has not got it.
    let program = env!("CARGO_BIN_EXE_culvert");
    let script = format!(
        "setpriv --inh-caps=-net_bind_service --bounding-set=-net_bind_service true 2>/dev/null \
         && exec setpriv --inh-caps=-net_bind_service --bounding-set=-net_bind_service {program} -c edge.yaml \
         || exec {program} -c edge.yaml"
    );
    let mut command = Command::new("sh");
    let output = command
        .args(["-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();

    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let problem = "edge.yaml: forwardingRules[0] \"edge\": cannot listen on 127.0.0.1:81: Permission denied (os error 13); \
         a port below 1024 needs CAP_NET_BIND_SERVICE";
    assert_eq!(problems(text(&output.stderr)), [problem]);
}

#[tokio::test]
async fn nothing_but_the_access_log_is_on_standard_output() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address, refusing()]).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /\u{1}\u{7f}\" HTTP/1.1\r\nHost: \"\\\r\nUser-Agent: \u{e4}\"\\\t\r\nConnection: close\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        edge.request(request).await;
    }
    edge.signal("HUP");
    edge.connect().await.reset();
    edge.log_lines(3).await;

    let (status, lines) = edge.terminate().await;

    // Each line was parsed as JSON.
    assert_eq!((status.code(), lines.len()), (Some(0), 3));
    assert!(lines.iter().all(|line| line["time"].is_string()));
}

/// Checks how the program ends and all that it says.
pub fn check(folder: &TempDir, arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
    let output = run(arguments, folder.path());
    assert_eq!(text(&output.stdout), stdout, "{arguments:?}");
    assert_eq!(text(&output.stderr), stderr, "{arguments:?}");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
}

/// A folder with this file in it, `edge.yaml`.
pub fn with_file(file: &dyn Display) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("edge.yaml"), file.to_string()).unwrap();
    folder
}

/// What was said of problems, without the notes that begin with a time.
pub fn problems(said: &str) -> Vec<String> {
    let said = said.lines().filter(|line| !line.contains(" INFO "));
    said.map(|line| without_positions(line).trim_end().to_owned())
        .collect()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
