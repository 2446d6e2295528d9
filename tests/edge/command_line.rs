//! The command line: what is checked before anything is served, and how the operator hears of it.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::edge::{get_now, lines_of};
use crate::harness::ports::{Claim, claim, free_address, free_addresses};
use crate::harness::process::run;
use crate::harness::target::refusing;
use crate::harness::{Config, Edge, Process, Target, eventually, soon};

#[test]
fn a_valid_file_is_ok() {
    let folder = with_file(&Config::answering("hello").rule("listenerPort: 1"));
    check(
        &folder,
        &["-t", "-c", "edge.yaml"],
        0,
        "culvert: edge.yaml: ok\n",
        "",
    );
    check(
        &folder,
        &["--test", "--conf", "edge.yaml"],
        0,
        "culvert: edge.yaml: ok\n",
        "",
    );
    check(
        &folder,
        &["-tc", "./edge.yaml"],
        0,
        "culvert: ./edge.yaml: ok\n",
        "",
    );
}

#[test]
fn the_file_is_conf_culvert_yaml_unless_another_is_named() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = run(&["-t"], here);
    assert_eq!(text(&output.stdout), "culvert: conf/culvert.yaml: ok\n");
    let folder = tempfile::tempdir().unwrap();
    let missing = "conf/culvert.yaml: cannot be read: No such file or directory (os error 2)\n";
    check(&folder, &["-t"], 1, "", missing);
}

#[test]
fn a_warning_does_not_make_a_file_invalid() {
    let folder = with_file(
        &"forwardingRules: [{name: a, protocol: HTTP, listenerIp: 127.0.0.1, listenerPort: 8080}]
targetGroups: [{name: g, algorithm: ROUND_ROBIN, protocol: HTTP}]\n",
    );
    let warnings =
        "edge.yaml: warning: forwardingRules[0].httpRules: no rules: every request gets a 404
edge.yaml: warning: targetGroups[0].targets: no targets: every request for this group is refused
edge.yaml: warning: targetGroups[0]: no HTTP rule forwards to this target group\n";
    let mut expected: Vec<_> = warnings.lines().collect();
    let output = run(&["-t", "-c", "edge.yaml"], folder.path());
    let mut said: Vec<_> = text(&output.stderr).lines().collect();
    expected.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, expected);
    assert_eq!(text(&output.stdout), "culvert: edge.yaml: ok\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_problem_of_a_file_is_a_line_with_its_place() {
    let folder = with_file(
        &"forwardingRules:
  - name: a
    protocol: HTTP
    listenerIp: localhost
    listenerPort: 8080
    listenerport: 8080
    httpRules:
      - {name: r, type: FORWARD, targetGroup: chat}
      - {name: r, type: STATIC, statusCode: 99}
targetGroups:
  - {name: other, algorithm: ROUND_ROBIN, protocol: HTTP, targets: [{ip: 10.0.0.1}]}\n",
    );
    let output = run(&["-t", "-c", "edge.yaml"], folder.path());
    let mut said: Vec<_> = text(&output.stderr).lines().collect();
    said.sort_unstable();
    let expected = [
        "edge.yaml: forwardingRules[0].httpRules[0].targetGroup: no target group named \"chat\"",
        "edge.yaml: forwardingRules[0].httpRules[1].name: duplicate name \"r\", also at forwardingRules[0].httpRules[0].name",
        "edge.yaml: forwardingRules[0].httpRules[1].responseMessage: is required",
        "edge.yaml: forwardingRules[0].httpRules[1].statusCode: must be an integer from 200 to 599, not 99",
        "edge.yaml: forwardingRules[0].listenerIp: must be an IP address, not \"localhost\"",
        "edge.yaml: forwardingRules[0].listenerport: unknown key (did you mean \"listenerPort\"?)",
        "edge.yaml: targetGroups[0].targets[0].port: is required",
    ];
    assert_eq!(said, expected);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
}

#[test]
fn a_file_that_cannot_be_used_at_all_is_one_line() {
    let folder = with_file(&"forwardingRules: [\n");
    std::fs::create_dir(folder.path().join("folder.yaml")).unwrap();
    std::fs::write(folder.path().join("latin1.yaml"), b"a: \xe4").unwrap();
    std::fs::write(folder.path().join("empty.yaml"), b"# nothing\n").unwrap();
    for (file, problem) in [
        (
            "missing.yaml",
            "cannot be read: No such file or directory (os error 2)",
        ),
        (
            "folder.yaml",
            "cannot be read: Is a directory (os error 21)",
        ),
        ("latin1.yaml", "incomplete utf-8 byte sequence from index 3"),
        ("empty.yaml", "is empty"),
        (
            "edge.yaml",
            "did not find expected node content at line 2 column 1, while parsing a flow node",
        ),
    ] {
        let line = format!("{file}: {problem}\n");
        check(&folder, &["-t", "-c", file], 1, "", &line);
        check(&folder, &["-c", file], 1, "", &line);
    }
}

#[test]
fn the_golden_files_say_through_the_program_what_their_headers_announce() {
    for path in yaml_files("tests/edge/config/invalid") {
        let problems = announced(&path, "# problem: ", "");
        assert!(!problems.is_empty(), "{}", path.display());
        check_file(&path, 1, "", &problems);
    }
    for path in yaml_files("tests/edge/config/valid") {
        let ok = format!("culvert: {}: ok\n", path.display());
        check_file(&path, 0, &ok, &announced(&path, "# warning: ", "warning: "));
    }
}

#[test]
fn every_file_that_comes_with_culvert_is_ok() {
    for path in yaml_files("conf") {
        let ok = format!("culvert: {}: ok\n", path.display());
        check_file(&path, 0, &ok, "");
    }
}

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
        said.contains("forwardingRules[0]: cannot listen on"),
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
        "{}: forwardingRules[1]: cannot listen on {}: Address already in use (os error 98)",
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
        "edge.yaml: forwardingRules[0]: cannot listen on 192.0.2.1:8080: Cannot assign requested address (os error 99)"
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
    let problem = "edge.yaml: forwardingRules[0]: cannot listen on 127.0.0.1:81: Permission denied (os error 13); \
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

#[tokio::test]
async fn the_demo_serves_a_page_and_the_chat_it_talks_to() {
    let (mut process, _ports) = start_demo().await;
    let [edge, admin] = DEMO;
    let page = get_now(edge, "/").unwrap();
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"),
        "{page}"
    );
    assert!(page.contains("<html") && page.contains("/chat"), "{page}");
    for word in [
        "http://127.0.0.1:8080/",
        "ws://127.0.0.1:8080/chat",
        "http://127.0.0.1:9900/metrics",
    ] {
        process.says(word).await;
    }
    let ready = get_now(admin, "/readyz").unwrap();
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");

    let (mut chat, _) = connect_async("ws://127.0.0.1:8080/chat").await.unwrap();
    chat.send(Message::text("hello")).await.unwrap();
    let echo = soon("the echo", chat.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text("hello"));
    chat.close(None).await.unwrap();
    while let Some(Ok(_)) = soon("the close", chat.next()).await {}
    drop(chat);
    eventually("both lines", || (process.lines().len() == 2).then_some(())).await;

    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(0));
    let lines = process.lines().into_iter();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    assert_eq!(
        [&lines[0]["httpRule"], &lines[1]["httpRule"]],
        ["page", "chat"]
    );
    assert_eq!(lines[1]["httpStatusCode"], 101);
}

/// Where the demo listens, and its admin address.
const DEMO: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900),
];

/// Starts the demo as soon as nobody else on the machine has its ports, and waits until it is
/// ready; nobody gets them meanwhile.
async fn start_demo() -> (Process, Vec<Claim>) {
    let claims = eventually("the demo's ports are free", || {
        let claims = DEMO.map(|address| claim(address.port()));
        let are_free = DEMO.map(TcpListener::bind).iter().all(Result::is_ok);
        claims
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .filter(|_| are_free)
    })
    .await;
    let mut process = Process::start(&["demo"]);
    eventually("the demo gets ready", || {
        assert!(process.is_running());
        get_now(DEMO[1], "/readyz").filter(|page| page.contains(" 200 "))
    })
    .await;
    (process, claims)
}

/// Checks how the program ends and all that it says.
fn check(folder: &TempDir, arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
    let output = run(arguments, folder.path());
    assert_eq!(text(&output.stdout), stdout, "{arguments:?}");
    assert_eq!(text(&output.stderr), stderr, "{arguments:?}");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
}

fn check_file(path: &Path, code: i32, stdout: &str, stderr: &str) {
    let folder = tempfile::tempdir().unwrap();
    check(
        &folder,
        &["-t", "-c", path.to_str().unwrap()],
        code,
        stdout,
        stderr,
    );
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    assert!(!paths.is_empty());
    paths
}

/// What the comments at the top of a file announce, as the program says it.
fn announced(path: &Path, mark: &str, prefix: &str) -> String {
    let file = std::fs::read_to_string(path).unwrap();
    let lines = file.lines().map_while(|line| line.strip_prefix(mark));
    lines
        .map(|line| format!("{}: {prefix}{line}\n", path.display()))
        .collect()
}

/// A folder with this file in it, `edge.yaml`.
fn with_file(file: &dyn Display) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("edge.yaml"), file.to_string()).unwrap();
    folder
}

/// What was said of problems, without the notes that begin with a time.
fn problems(said: &str) -> Vec<&str> {
    said.lines()
        .filter(|line| !line.contains(" INFO "))
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
