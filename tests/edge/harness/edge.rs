//! A running Culvert: the real binary on free ports, its log lines as they come, its metrics, its
//! signals.

use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use futures_util::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

pub use super::ports::free_addresses;
use super::process::Unread;
use super::target::any_size;
use super::{
    Answer, Cgroup, Config, Connection, PATIENCE, Process, eventually, eventually_or, soon,
};

/// A WebSocket client's end.
pub type WebSocket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// How many tunnels are being opened at the same time.
const OPENING: usize = 16;

/// A configuration: a [`Config`], or the text of a whole one.
type Text<'a> = &'a (dyn Display + Sync);

/// A running Culvert. Dropping it kills the process, and every other that runs with its
/// configuration.
pub struct Edge {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its admin address.
    pub admin: SocketAddr,
    /// Its folder: the configuration, and whatever it writes.
    pub folder: TempDir,
    process: Process,
}

impl Edge {
    /// Starts Culvert with a configuration in which `LISTEN_PORT` and `ADMIN_PORT` stand for free
    /// ports, and `FOLDER` for its folder; waits until it is ready. The admin address is added
    /// where the configuration has none.
    pub async fn start(configuration: Text<'_>) -> Edge {
        Edge::start_by(configuration, Process::start).await
    }

    /// The same where no more than so many files may be open.
    pub async fn start_with_files(configuration: Text<'_>, most: u64) -> Edge {
        let start = |arguments: &[&str]| Process::start_with_files(most, arguments);
        Edge::start_by(configuration, start).await
    }

    /// The same in a cgroup.
    pub async fn start_within(cgroup: &Cgroup, configuration: Text<'_>) -> Edge {
        let start = |arguments: &[&str]| Process::start_within(cgroup, arguments);
        Edge::start_by(configuration, start).await
    }

    async fn start_by(configuration: Text<'_>, start: impl Fn(&[&str]) -> Process) -> Edge {
        let mut edge = Edge::spawn(configuration, start);
        edge.become_ready().await;
        edge
    }

    /// Starts Culvert with one rule that forwards everything to these targets, with a
    /// `clientTimeout` of 2 s, checking health every 100 ms. It is patient with the targets: on a
    /// slow machine their answers are late without a fault of theirs.
    pub async fn forwarding_to(targets: &[SocketAddr]) -> Edge {
        let patient = "responseTimeout: 15s, healthCheck: {checkTimeout: 15s}";
        Edge::start(&Config::forwarding_to(targets).group(patient)).await
    }

    fn spawn(configuration: Text<'_>, start: impl Fn(&[&str]) -> Process) -> Edge {
        let folder = tempfile::tempdir().unwrap();
        let [address, admin] = free_addresses();
        let path = write_configuration(configuration, &folder, address, admin);
        let process = start(&["-c", path.to_str().unwrap()]);
        Edge {
            address,
            admin,
            folder,
            process,
        }
    }

    async fn become_ready(&mut self) {
        let is_ready = eventually("the process gets ready or ends", || {
            let answer = get_now(self.admin, "/readyz");
            let is_ready = answer.is_some_and(|answer| answer.contains(" 200 "));
            (is_ready || !self.process.is_running()).then_some(is_ready)
        });
        if !is_ready.await {
            self.process.ended().await;
            panic!("the process ended before it was ready");
        }
    }

    /// Its configuration.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Writes another configuration, with the same words for the same ports and folder; nobody is
    /// told.
    pub fn configure(&self, configuration: Text<'_>) {
        write_configuration(configuration, &self.folder, self.address, self.admin);
    }

    /// Writes another configuration and sends SIGHUP; waits until it is applied.
    pub async fn reload(&self, configuration: Text<'_>) {
        let applied = || self.metric("config_reloads_total{result=\"applied\"}");
        let before = applied();
        self.configure(configuration);
        self.signal("HUP");
        let is_applied = || (applied() > before).then_some(());
        eventually("the configuration is applied", is_applied).await;
    }

    /// Starts another process with the same configuration, which waits to take over, and sends
    /// SIGQUIT until the hand-over is done. Needs `server.pidFile` to be `FOLDER/culvert.pid`.
    pub async fn hand_over(&self) -> Process {
        let successor = Process::start(&["-c", self.file().to_str().unwrap(), "-u"]);
        let handing_over = async {
            // It takes a moment until the new process waits; a SIGQUIT before that is an error
            // line.
            while !self.sigquit_hands_over_to(&successor).await {}
        };
        soon("the hand-over", handing_over).await;
        successor
    }

    async fn sigquit_hands_over_to(&self, successor: &Process) -> bool {
        let before = self.errors_about("SIGQUIT");
        self.signal("QUIT");
        eventually("the hand-over is done or refused", || {
            let is_done = self.pid_in_file() == Some(successor.id());
            let is_refused = self.errors_about("SIGQUIT") > before;
            (is_done || is_refused).then_some(is_done)
        })
        .await
    }

    /// How many error lines there are on standard error that have this word.
    pub fn errors_about(&self, word: &str) -> usize {
        let said = self.diagnostics();
        let lines = said.lines();
        let errors = lines.filter(|line| line.contains("ERROR") && line.contains(word));
        errors.count()
    }

    /// What is in `FOLDER/culvert.pid`.
    pub fn pid_in_file(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.folder.path().join("culvert.pid"));
        text.ok()?.trim().parse().ok()
    }

    /// Waits until the file names this process.
    pub async fn pid_file_names(&self, pid: u32) {
        let names_it = || (self.pid_in_file() == Some(pid)).then_some(());
        eventually(&format!("the file names {pid}"), names_it).await;
    }

    /// All processes that run with its configuration: itself, unless it has ended, and what took or
    /// may take over from it.
    pub fn processes(&self) -> Vec<u32> {
        let folder = self.folder.path().to_str().unwrap().as_bytes();
        let runs_here = |pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.windows(folder.len()).any(|part| part == folder)
        };
        let entries = std::fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(runs_here).collect()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What `/api/v1/status` says of a drain.
    pub fn drain_status(&self) -> Value {
        let page = self.admin_page("/api/v1/status");
        let (_, body) = page.split_once("\r\n\r\n").unwrap();
        let mut status: Value = serde_json::from_str(body).expect("the status is JSON");
        status["drain"].take()
    }

    /// An admin page, with its head.
    pub fn admin_page(&self, path: &str) -> String {
        get_now(self.admin, path).expect("the admin address answers")
    }

    /// The answer to a request without a body at the admin address, with its head.
    pub fn admin_request(&self, method: &str, path: &str) -> String {
        request_now(self.admin, method, path).expect("the admin address answers")
    }

    /// The value of a metric, given as it is written, labels in alphabetical order:
    /// `requests_total{code="200",forwarding_rule="edge",http_rule="all"}`. 0 where it is not
    /// there.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.admin_page("/metrics");
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("culvert_{name} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric, given as for [`Edge::metric`], has this value.
    pub async fn metric_becomes(&self, name: &str, expected: f64) {
        let mut last = 0.0;
        eventually_or(&format!("{name} becomes {expected}"), || {
            last = self.metric(name);
            (last == expected)
                .then_some(())
                .ok_or_else(|| format!("it is {last}"))
        })
        .await;
    }

    /// How many were refused for this reason, on the address of the rule `edge`.
    pub fn refusals(&self, reason: &str) -> f64 {
        self.metric(&refusals(reason))
    }

    /// Waits until this many were, and no more.
    pub async fn refused(&self, reason: &str, count: usize) {
        self.metric_becomes(&refusals(reason), count as f64).await;
    }

    /// Opens a TCP connection.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Sends one request, given as its whole text, and reads the answer up to the end of the
    /// connection: the request should say `Connection: close`.
    pub async fn request(&self, request: &str) -> Answer {
        let mut connection = self.connect().await;
        connection.send(request).await;
        connection.answer_to_end().await
    }

    /// A plain GET of a path on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(&format!(
            "GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    /// Opens a WebSocket with tungstenite's client.
    pub async fn websocket(&self, path: &str) -> WebSocket {
        self.websocket_with(path, |_| ()).await.0
    }

    /// The same with a handshake that is changed first; the answer comes too.
    pub async fn websocket_with(
        &self,
        path: &str,
        change: impl FnOnce(&mut Request),
    ) -> (WebSocket, Response) {
        let mut request = format!("ws://{}{path}", self.address)
            .into_client_request()
            .unwrap();
        change(&mut request);
        connect_async_with_config(request, Some(any_size()), true)
            .await
            .expect("the handshake succeeds")
    }

    /// Opens a tunnel with [`HANDSHAKE`]; the head of its 101 comes too.
    pub async fn tunnel(&self) -> (Connection, String) {
        Connection::tunnel(self.address, "/chat").await
    }

    /// Opens this many tunnels, for the paths /0, /1 and so on.
    pub async fn tunnels(&self, count: usize) -> Vec<Connection> {
        let open = async |number| {
            let path = format!("/{number}");
            Connection::tunnel(self.address, &path).await.0
        };
        let opening = stream::iter(0..count).map(open);
        opening.buffered(OPENING).collect().await
    }

    /// How many tunnels to a target of the group `group` are open, as the metrics say.
    pub fn tunnels_active(&self, target: SocketAddr) -> f64 {
        self.metric(&format!(
            "tunnels_active{{forwarding_rule=\"edge\",target=\"{target}\",target_group=\"group\"}}"
        ))
    }

    /// All lines of the access log so far, parsed.
    pub fn log(&self) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).expect("a line is JSON");
        self.process.lines().iter().map(parse).collect()
    }

    /// How many lines of the access log there are so far.
    pub fn count_lines(&self) -> usize {
        self.process.count_lines()
    }

    /// Stops reading its standard output, until what is returned is dropped.
    pub fn stop_reading(&self) -> Unread<'_> {
        self.process.stop_reading()
    }

    /// Waits for this many lines of the access log; more are an error.
    pub async fn log_lines(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} lines in the access log");
        eventually_or(&what, || match self.process.count_lines() {
            enough if enough >= count => Ok(()),
            fewer => Err(format!("there are {fewer}")),
        })
        .await;
        let lines = self.log();
        let listed = || {
            lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        assert_eq!(lines.len(), count, "lines in the access log:\n{}", listed());
        lines
    }

    /// Waits for the only line of the access log.
    pub async fn log_line(&self) -> Value {
        self.log_lines(1).await.remove(0)
    }

    /// The memory that the process has in use, in bytes.
    pub fn resident_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<usize>().unwrap() * 1024
    }

    /// What it said on standard error so far.
    pub fn diagnostics(&self) -> String {
        self.process.diagnostics()
    }

    /// Waits until it has said this on standard error; returns all that it said so far.
    pub async fn says(&self, words: &str) -> String {
        self.process.says(words).await
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Lets the process have no more than this many open files.
    pub fn limit_open_files(&self, most: u64) {
        self.process.limit_open_files(most);
    }

    /// The processor time that the process has had, in seconds.
    pub fn processor_time(&self) -> f64 {
        self.process.processor_time()
    }

    /// How many files the process has open, connections among them.
    pub fn open_files(&self) -> usize {
        self.process.open_files()
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Waits for the process's end, while others may go on in its place.
    pub async fn exited(&mut self) -> ExitStatus {
        self.process.exited().await
    }

    /// Waits for the process's end; returns how it ended and all lines of the access log.
    pub async fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.process.ended().await;
        (status, self.log())
    }

    /// Sends SIGTERM, and waits for the end; see [`Edge::ended`].
    pub async fn terminate(self) -> (ExitStatus, Vec<Value>) {
        self.signal("TERM");
        self.ended().await
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Again and again: one that is killed may just have started another.
        for _ in 0..100 {
            let running = self.processes();
            if running.is_empty() {
                break;
            }
            for pid in running {
                let pid = Pid::from_raw(pid as i32).expect("none is 0");
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }
}

/// The name of the configuration in an edge's folder.
const FILE: &str = "culvert.yaml";

fn write_configuration(
    configuration: Text<'_>,
    folder: &TempDir,
    address: SocketAddr,
    admin: SocketAddr,
) -> PathBuf {
    let mut text = configuration
        .to_string()
        .replace("LISTEN_PORT", &address.port().to_string())
        .replace("ADMIN_PORT", &admin.port().to_string())
        .replace("FOLDER", folder.path().to_str().unwrap());
    if !text.contains("admin:") {
        text.push_str(&format!("\nadmin: {{listen: {admin}}}\n"));
    }
    let path = folder.path().join(FILE);
    std::fs::write(&path, text).unwrap();
    path
}

fn refusals(reason: &str) -> String {
    format!("refusals_total{{forwarding_rule=\"edge\",reason=\"{reason}\"}}")
}

/// The lines of an access log's file so far, parsed; none if it is not there.
pub fn lines_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last may just be being written.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let parse = |line| serde_json::from_str(line).expect("a line is JSON");
    whole.lines().map(parse).collect()
}

/// The answer to a GET, whole; `None` where nobody answers, or not for long.
pub fn get_now(address: SocketAddr, path: &str) -> Option<String> {
    request_now(address, "GET", path)
}

/// The JSON in the body of an answer that is given whole.
pub fn body_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    serde_json::from_str(body).expect("the body is JSON")
}

fn request_now(address: SocketAddr, method: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}
