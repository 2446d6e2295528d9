//! In a cgroup of 256 MB the tunnels outlive whatever one client tries, and the process is not
//! killed.

use std::io::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::client::header;
use crate::harness::http2::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame};
use crate::harness::target::{ok, switching_protocols};
use crate::harness::{Cgroup, Config, Connection, Edge, Target, soon};

const MEMORY: u64 = 256 << 20;
const TUNNELS: usize = 500;
/// How long a client that takes nothing goes on trying to send.
const TRIES: Duration = Duration::from_millis(100);
const AT_A_TIME: usize = 50;

/// A target that answers `/big` with 1 MB, takes nothing of `/upload`, and echoes in tunnels.
async fn target() -> Target {
    Target::scripted(|mut connection: Connection| async move {
        while connection.has_more().await {
            let head = connection.head().await;
            if header(&head, "upgrade").is_some() {
                connection.send(switching_protocols(&head)).await;
                return connection.echo_messages().await;
            }
            if head.starts_with("POST /upload") {
                return std::future::pending().await;
            }
            let body = match head.starts_with("GET /big") {
                true => "x".repeat(1 << 20),
                false => "target".to_owned(),
            };
            if connection
                .stream
                .write_all(ok(&body).as_bytes())
                .await
                .is_err()
            {
                return;
            }
        }
    })
    .await
}

/// Patient in all respects, so that nobody goes because a clock says so.
fn configuration(target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 50s, h2c: true")
        .group("responseTimeout: 50s")
        // Thousands of lines, which nobody needs to see of a test that fails.
        .top("accessLog: {path: FOLDER/access.log}")
}

/// What one client tries: this many connections, each of which sends this and reads nothing.
struct Attack {
    name: &'static str,
    connections: usize,
    bytes: Vec<u8>,
}

impl Attack {
    fn all() -> Vec<Attack> {
        let attack = |name, connections, bytes: &[u8]| Attack {
            name,
            connections,
            bytes: bytes.to_vec(),
        };
        let upload = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
        let upload = [upload.as_slice(), &vec![b'x'; 1 << 20]].concat();
        let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'x'; 60_000]].concat();
        vec![
            attack("streams that take no answer", 8, &streams()),
            attack("slow heads", 1000, b"GET / HTTP/1.1\r\nHost: a\r\nX: "),
            attack("long heads", 1000, &long),
            attack(
                "answers that nobody takes",
                1000,
                b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            attack("uploads that no target takes", 600, &upload),
        ]
    }

    /// Connects, many at the same time, and sends; what is open is returned.
    async fn begin(&self, edge: &Edge) -> Vec<TcpStream> {
        let one = async |_| {
            let mut stream = TcpStream::connect(edge.address).await.ok()?;
            // It may be refused, or not be read any further.
            timeout(TRIES, stream.write_all(&self.bytes)).await.ok();
            Some(stream)
        };
        let all = stream::iter(0..self.connections).map(one);
        let open = all.buffer_unordered(AT_A_TIME).collect::<Vec<_>>().await;
        open.into_iter().flatten().collect()
    }
}

async fn ask(edge: &Edge) -> Option<String> {
    let mut stream = TcpStream::connect(edge.address).await.ok()?;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// Waits until a request is answered by the target again.
async fn is_served_again(edge: &Edge) {
    let asking = async {
        // One that is too many may be reset before it has its answer.
        while ask(edge)
            .await
            .is_none_or(|answer| !answer.starts_with("HTTP/1.1 200 "))
        {
            sleep(Duration::from_millis(50)).await;
        }
    };
    soon("new requests are served again", asking).await;
}

/// A connection of HTTP/2 with a hundred streams that ask for `/big`.
fn streams() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    // GET, http, the path and the authority (RFC 7541).
    let head = [b"\x82\x86\x44\x04/big".as_slice(), b"\x41\x01a"].concat();
    for stream in (0..100).map(|number| 2 * number + 1) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
    }
    bytes
}

#[tokio::test]
async fn five_hundred_tunnels_outlive_whatever_one_client_tries_in_256_mb() {
    let target = target().await;
    let cgroup = Cgroup::with_memory(MEMORY);
    let mut edge = match &cgroup {
        Ok(cgroup) => Edge::start_within(cgroup, &configuration(&target)).await,
        Err(why) => {
            let line = format!("no cgroup can be made, server.memory.limit is used: {why}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            let limit = format!("memory: {{limit: {}}}", MEMORY / 10 * 9);
            Edge::start(&configuration(&target).server(&limit)).await
        }
    };
    let mut tunnels = edge.tunnels(TUNNELS).await;

    for attack in Attack::all() {
        let attackers = attack.begin(&edge).await;
        assert_alive(&mut edge, &mut tunnels, attack.name).await;
        drop(attackers);
        is_served_again(&edge).await;
    }
    let all = Attack::all();
    let attackers = join_all(all.iter().map(|attack| attack.begin(&edge))).await;
    assert_alive(&mut edge, &mut tunnels, "all at once").await;
    drop(attackers);
    is_served_again(&edge).await;

    assert!(edge.metric("memory_resets_total") > 0.0);
    assert_eq!(edge.tunnels_active(target.address), TUNNELS as f64);
}

async fn assert_alive(edge: &mut Edge, tunnels: &mut [Connection], attack: &str) {
    assert!(edge.is_running(), "{attack}");
    for tunnel in tunnels {
        tunnel.say_hi().await;
    }
    assert!(edge.admin_page("/readyz").contains(" 200 "), "{attack}");
}
