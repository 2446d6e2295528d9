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
use super::target::any_size;
use super::{Answer, Cgroup, Config, Connection, PATIENCE, Process, eventually, soon};

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
    pub(super) process: Process,
}

impl Edge {
    /// Starts Culvert with a configuration in which `LISTEN_PORT` and `ADMIN_PORT` stand for free
    /// ports, and `FOLDER` for its folder; waits until it is ready. The admin address is added
    /// where the configuration has none.
    pub async fn start(configuration: Text<'_>) -> Edge {
        Edge::start_by(configuration, Process::start).await
    }

    /// The same without waiting until it is ready: only until it says that it is not.
    pub async fn start_unready(configuration: Text<'_>) -> Edge {
        let edge = Edge::spawn(configuration, Process::start);
        edge.is_ready(false).await;
        edge
    }

    /// Waits until it says that it is ready, or that it is not; returns what it says.
    pub async fn is_ready(&self, is_ready: bool) -> String {
        let says = || {
            let answer = get_now(self.admin, "/readyz")?;
            (answer.contains(" 200 ") == is_ready).then_some(answer)
        };
        eventually("whether it is ready", says).await
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

    /// The same, as this starts it.
    pub async fn start_by(configuration: Text<'_>, start: impl Fn(&[&str]) -> Process) -> Edge {
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

    /// Starts it once more, after it has ended; waits until it is ready.
    pub async fn start_again(&mut self) {
        self.process = Process::start(&["-c", self.file().to_str().unwrap()]);
        self.become_ready().await;
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

    /// The bodies of the answers to this many requests, one after the other; on one connection for
    /// as long as it is kept, as a browser does it.
    pub async fn answers(&self, count: usize) -> Vec<String> {
        let mut client = self.connect().await;
        let mut answers = Vec::new();
        for _ in 0..count {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = client.answer().await;
            answers.push(answer.text().to_owned());
            if answer.header("connection") == Some("close") {
                client = self.connect().await;
            }
        }
        answers
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

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Lets the process have no more than this many open files.
    pub fn limit_open_files(&self, most: u64) {
        self.process.limit_open_files(most);
    }

    /// Lets a file be no longer than this from now on.
    pub fn limit_size_of_files(&self, most: Option<u64>) {
        self.process.limit_size_of_files(most);
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

/// The same for a host.
pub fn get_at(address: SocketAddr, host: &str, path: &str) -> Option<String> {
    request_at(address, host, "GET", path)
}

/// The JSON in the body of an answer that is given whole.
pub fn body_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    serde_json::from_str(body).expect("the body is JSON")
}

pub(super) fn request_now(address: SocketAddr, method: &str, path: &str) -> Option<String> {
    request_at(address, &address.to_string(), method, path)
}

fn request_at(address: SocketAddr, host: &str, method: &str, path: &str) -> Option<String> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    ask_now(address, &request)
}

/// The answer to a request that ends its connection, likewise.
pub fn ask_now(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}
