//! What a scrape costs: the metrics of a Culvert with 1,000 targets and 5,000 open tunnels, asked
//! for again and again.
//!
//! Targets and tunnels are real sockets, and the health of the targets is checked meanwhile. It
//! takes 10,000 open files in each of the two processes. The median should stay under 50 ms.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

#[path = "../tests/edge/harness/ports.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the tests need more of it than the bench"
)]
mod ports;

use ports::free_address;

const TARGETS: usize = 1_000;
const TUNNELS: usize = 5_000;
const SCRAPES: usize = 100;
/// How many tunnels are being opened at the same time.
const OPENING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    let mut targets = Vec::new();
    for _ in 0..TARGETS {
        targets.push(target().await?);
    }
    let folder = tempfile::tempdir()?;
    let culvert = Culvert::start(&targets, folder.path()).await?;
    let opening = stream::iter(0..TUNNELS).map(|_| tunnel(culvert.address));
    let tunnels: Vec<TcpStream> = opening.buffered(OPENING).try_collect().await?;
    let page = get(culvert.admin, "/metrics").await?;
    let open = sum_of("culvert_tunnels_active{", &page);
    if open != TUNNELS as f64 {
        return Err(io::Error::other(format!("{open} tunnels are open")));
    }
    let mut took = Vec::new();
    let before = culvert.cpu()?;
    for _ in 0..SCRAPES {
        let began = Instant::now();
        get(culvert.admin, "/metrics").await?;
        took.push(began.elapsed());
    }
    let cpu = (culvert.cpu()? - before) / SCRAPES as u32;
    drop(tunnels);
    took.sort_unstable();
    let (_, metrics) = page.split_once("\r\n\r\n").unwrap_or_default();
    let series = metrics.lines().filter(|line| !line.starts_with('#'));
    println!(
        "a scrape with {TARGETS} targets and {TUNNELS} tunnels: median {:.1?}, longest of {SCRAPES} {:.1?}, \
         CPU {cpu:.1?}; {} series, {} KiB",
        took[SCRAPES / 2],
        took[SCRAPES - 1],
        series.count(),
        metrics.len() / 1024
    );
    Ok(())
}

/// A running Culvert. Dropping it kills the process.
struct Culvert {
    address: SocketAddr,
    admin: SocketAddr,
    process: Child,
}

impl Culvert {
    async fn start(targets: &[SocketAddr], folder: &Path) -> io::Result<Culvert> {
        let [address, admin] = [free_address(), free_address()];
        let file = folder.join("culvert.yaml");
        let log = folder.join("access.log");
        let mut text = format!(
            "admin: {{listen: {admin}}}
accessLog: {{path: {}}}
forwardingRules:
  - name: edge
    protocol: HTTP
    listenerIp: 127.0.0.1
    listenerPort: {}
    httpRules: [{{name: all, type: FORWARD, targetGroup: targets}}]
targetGroups:
  - name: targets
    algorithm: ROUND_ROBIN
    protocol: HTTP
    targets:\n",
            log.display(),
            address.port()
        );
        for target in targets {
            text += &format!("      - {{ip: 127.0.0.1, port: {}}}\n", target.port());
        }
        std::fs::write(&file, text)?;
        let process = Command::new(env!("CARGO_BIN_EXE_culvert"))
            .arg("-c")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let culvert = Culvert {
            address,
            admin,
            process,
        };
        let deadline = Instant::now() + PATIENCE;
        while !get(admin, "/readyz")
            .await
            .is_ok_and(|page| page.contains(" 200 "))
        {
            if Instant::now() > deadline {
                return Err(io::Error::other("Culvert does not get ready"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(culvert)
    }

    /// The CPU time that it has had, in user and in system mode: fields of /proc/PID/stat, counted
    /// from behind the name.
    fn cpu(&self) -> io::Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields = text.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(Duration::from_secs_f64(
            ticks / clock_ticks_per_second() as f64,
        ))
    }
}

impl Drop for Culvert {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A target that takes every handshake, and then says nothing.
async fn target() -> io::Result<SocketAddr> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(silent(stream));
        }
    });
    Ok(address)
}

async fn silent(mut stream: TcpStream) -> io::Result<()> {
    // Health checks say nothing.
    if head(&mut stream).await.is_ok() {
        stream.write_all(SWITCHING.as_bytes()).await?;
        stream.read_u8().await?;
    }
    Ok(())
}

async fn tunnel(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(HANDSHAKE.as_bytes()).await?;
    let head = head(&mut stream).await?;
    match head.starts_with("HTTP/1.1 101 ") {
        true => Ok(stream),
        false => Err(io::Error::other(head)),
    }
}

/// All up to the empty line.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    String::from_utf8(head).map_err(io::Error::other)
}

async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}

fn sum_of(start: &str, page: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(start));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}
