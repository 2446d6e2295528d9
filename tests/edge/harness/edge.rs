//! A running Culvert: the real binary on free ports, its log lines as they come, its metrics, its signals.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitStatus;

use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::client::{HANDSHAKE, status};
use super::process::Unread;
use super::target::any_size;
use super::{Answer, Connection, Process, eventually};

/// A WebSocket client's end.
pub type WebSocket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// A running Culvert. Dropping it kills the process.
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
    /// Starts Culvert with a configuration in which `LISTEN_PORT` and `ADMIN_PORT` stand for free ports, and `FOLDER` for
    /// its folder; waits until it is ready. The admin address is added where the configuration has none.
    pub async fn start(configuration: &str) -> Edge {
        for _ in 0..10 {
            let edge = Edge::spawn(configuration);
            if let Some(edge) = edge.become_ready().await {
                return edge;
            }
        }
        panic!("no free ports in ten tries");
    }

    /// Starts Culvert with one rule that forwards everything to these targets, with a `clientTimeout` of 2 s and a
    /// `responseTimeout` of 2 s, checking health every 100 ms.
    pub async fn forwarding_to(targets: &[SocketAddr]) -> Edge {
        Edge::start(&forwarding_to(targets)).await
    }

    fn spawn(configuration: &str) -> Edge {
        let folder = tempfile::tempdir().unwrap();
        let [address, admin] = free_addresses();
        let mut text = configuration
            .replace("LISTEN_PORT", &address.port().to_string())
            .replace("ADMIN_PORT", &admin.port().to_string())
            .replace("FOLDER", folder.path().to_str().unwrap());
        if !text.contains("admin:") {
            text.push_str(&format!("\nadmin: {{listen: {admin}}}\n"));
        }
        let path = folder.path().join("culvert.yaml");
        std::fs::write(&path, text).unwrap();
        let process = Process::start(&["-c", path.to_str().unwrap()]);
        Edge {
            address,
            admin,
            folder,
            process,
        }
    }

    /// `None` when the ports were taken by somebody else meanwhile.
    async fn become_ready(mut self) -> Option<Edge> {
        let mut is_ready = false;
        eventually("the process gets ready or ends", || {
            let ended = !self.process.is_running();
            is_ready = !ended
                && get_now(self.admin, "/readyz").is_some_and(|answer| answer.contains(" 200 "));
            (ended || is_ready).then_some(())
        })
        .await;
        if is_ready {
            return Some(self);
        }
        self.process.ended().await;
        let said = self.diagnostics();
        assert!(said.contains("in use"), "the process ended:\n{said}");
        None
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
    /// `requests_total{code="200",forwarding_rule="edge",http_rule="all"}`. 0 where it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.admin_page("/metrics");
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("culvert_{name} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Opens a TCP connection.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Sends one request, given as its whole text, and reads the answer up to the end of the connection: the request should
    /// say `Connection: close`.
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
        let mut client = self.connect().await;
        client.send(HANDSHAKE).await;
        let head = client.head().await;
        assert_eq!(status(&head), 101, "{head}");
        (client, head)
    }

    /// All lines of the access log so far, parsed.
    pub fn log(&self) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).expect("a line is JSON");
        self.process.lines().iter().map(parse).collect()
    }

    /// Stops reading its standard output, until what is returned is dropped.
    pub fn stop_reading(&self) -> Unread<'_> {
        self.process.stop_reading()
    }

    /// Waits for this many lines of the access log; more are an error.
    pub async fn log_lines(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} lines in the access log");
        let lines = eventually(&what, || Some(self.log()).filter(|log| log.len() >= count)).await;
        assert_eq!(lines.len(), count, "{lines:#?}");
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

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// How many files the process has open, connections among them.
    pub fn open_files(&self) -> usize {
        self.process.open_files()
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
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

/// The configuration of [`Edge::forwarding_to`].
pub fn forwarding_to(targets: &[SocketAddr]) -> String {
    let targets: String = targets
        .iter()
        .map(|target| format!("      - {{ip: {}, port: {}}}\n", target.ip(), target.port()))
        .collect();
    format!(
        "forwardingRules:
  - name: edge
    protocol: HTTP
    listenerIp: 127.0.0.1
    listenerPort: LISTEN_PORT
    clientTimeout: 2000
    httpRules:
      - {{name: all, type: FORWARD, targetGroup: group}}
targetGroups:
  - name: group
    algorithm: ROUND_ROBIN
    protocol: HTTP
    connectTimeout: 2000
    responseTimeout: 2000
    healthCheck: {{checkInterval: 100, checkTimeout: 1000, unhealthyThreshold: 2}}
    targets:
{targets}"
    )
}

/// The answer to a GET, whole; `None` where nobody answers.
pub fn get_now(address: SocketAddr, path: &str) -> Option<String> {
    request_now(address, "GET", path)
}

/// The JSON in the body of an answer that is given whole.
pub fn body_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    serde_json::from_str(body).expect("the body is JSON")
}

fn request_now(address: SocketAddr, method: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

/// Addresses of this machine that were free a moment ago.
pub fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let sockets = [(); COUNT].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}
