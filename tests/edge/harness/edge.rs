//! A running Culvert: the real binary on free ports, its log lines as they come, its metrics, its signals.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Answer, Connection, eventually};

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
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
    diagnostics: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
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
        let mut process = Command::new(env!("CARGO_BIN_EXE_culvert"))
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, diagnostics) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<Mutex<String>>::default(),
        );
        let readers = vec![
            collect_lines(process.stdout.take().unwrap(), Arc::clone(&lines)),
            collect_text(process.stderr.take().unwrap(), Arc::clone(&diagnostics)),
        ];
        Edge {
            address,
            admin,
            folder,
            process,
            lines,
            diagnostics,
            readers,
        }
    }

    /// `None` when the ports were taken by somebody else meanwhile.
    async fn become_ready(mut self) -> Option<Edge> {
        let mut is_ready = false;
        eventually("the process gets ready or ends", || {
            let ended = self.process.try_wait().unwrap().is_some();
            is_ready = !ended
                && self
                    .get_now("/readyz")
                    .is_some_and(|answer| answer.contains(" 200 "));
            (ended || is_ready).then_some(())
        })
        .await;
        if is_ready {
            return Some(self);
        }
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let said = self.diagnostics();
        assert!(said.contains("in use"), "the process ended:\n{said}");
        None
    }

    /// A request to the admin address; `None` where nobody answers.
    fn get_now(&self, path: &str) -> Option<String> {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(self.admin).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// An admin page, with its head.
    pub fn admin_page(&self, path: &str) -> String {
        self.get_now(path).expect("the admin address answers")
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
        let request = format!("ws://{}{path}", self.address)
            .into_client_request()
            .unwrap();
        connect_async(request)
            .await
            .expect("the handshake succeeds")
            .0
    }

    /// All lines of the access log so far, parsed.
    pub fn log(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
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

    /// What it said on standard error so far.
    pub fn diagnostics(&self) -> String {
        self.diagnostics.lock().unwrap().clone()
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Waits for the process's end; returns how it ended and all lines of the access log.
    pub async fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let status = eventually("the process ends", || self.process.try_wait().unwrap()).await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
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
        if std::thread::panicking() {
            eprintln!(
                "--- culvert said:\n{}--- and logged:\n{:#?}",
                self.diagnostics(),
                self.lines
            );
        }
        self.process.kill().ok();
        self.process.wait().ok();
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

/// Runs Culvert to its end, with these arguments and in this folder; for what is said before anything is served.
pub fn run(arguments: &[&str], folder: &std::path::Path) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Two addresses of this machine that were free a moment ago.
pub fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let sockets = [(); COUNT].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

fn collect_lines(
    from: impl std::io::Read + Send + 'static,
    into: Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            into.lock().unwrap().push(line.unwrap());
        }
    })
}

fn collect_text(
    from: impl std::io::Read + Send + 'static,
    into: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            into.lock().unwrap().push_str(&(line.unwrap() + "\n"));
        }
    })
}
