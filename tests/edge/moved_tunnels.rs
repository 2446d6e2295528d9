//! An upgrade takes the open tunnels along: they lose no byte, the old process ends at once, and
//! each leaves one line over all processes.

use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::harness::edge::lines_of;
use crate::harness::target::switching_protocols;
use crate::harness::tls::{Answering, HOST, TARGET_HOST, over_tls, trusting};
use crate::harness::{Authority, Config, Connection, Edge, Noise, Target, eventually, soon};

const TUNNELS: usize = 12;

/// What may be upgraded, with the log in a file that all processes share. Its records are our own
/// whatever other tests run with: those of rustls stay in the process that began them.
pub fn upgradable(config: Config) -> Config {
    let config = config
        .upgradable()
        .server("drain: {deadline: 10m}, tunnelRecords: own");
    config.top("accessLog: {path: FOLDER/access.log}")
}

/// Upgrades with the file that is there, and waits until the command says that it is done.
pub async fn upgrade(edge: &Edge) {
    let mut upgrade = Command::new(env!("CARGO_BIN_EXE_culvert"));
    upgrade.arg("-c").arg(edge.file()).arg("upgrade");
    let output = soon("the upgrade", upgrade.kill_on_drop(true).output()).await;
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Waits until only the process is left that serves.
pub async fn one_is_left(edge: &Edge) {
    let is_alone = || edge.processes() == edge.pid_in_file().into_iter().collect::<Vec<_>>();
    eventually("the old process ends", || is_alone().then_some(())).await;
}

/// The lines of tunnels in all processes, once there are so many.
pub async fn lines(edge: &Edge, count: usize) -> Vec<Value> {
    let path = edge.folder.path().join("access.log");
    let tunnels = || {
        let lines = lines_of(&path).into_iter();
        let lines: Vec<Value> = lines
            .filter(|line| line["upgrade"] == "websocket")
            .collect();
        (lines.len() >= count).then_some(lines)
    };
    let lines = eventually(&format!("{count} lines of tunnels"), tunnels).await;
    assert_eq!(lines.len(), count);
    lines
}

/// How many bytes have come from the client, and gone to it.
pub fn sums(line: &Value) -> [u64; 2] {
    ["requestBodyBytes", "responseBodyBytes"].map(|field| line[field].as_u64().unwrap())
}

/// Sends and receives while `is_over` has not been told, to the end; tells how much that was.
pub async fn pump<S>(mut client: Connection<S>, seed: u64, mut is_over: Over) -> u64
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut noise = Noise::seeded(seed);
    let mut sum = 0;
    while !*is_over.borrow_and_update() {
        let bytes = noise.bytes(200_000);
        assert!(client.swap(&bytes, bytes.len(), &mut noise).await == bytes);
        sum += bytes.len() as u64;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.finish().await;
    client.to_end().await;
    sum
}

/// Whether the pumps are to end.
pub type Over = tokio::sync::watch::Receiver<bool>;

/// Three upgrades under these pumps; every line has the sums of one of them.
async fn three_upgrades(edge: &Edge, pumps: impl AsyncFnOnce(Over) -> JoinSet<u64>) {
    let (over, is_over) = tokio::sync::watch::channel(false);
    let pumps = pumps(is_over).await;
    for _ in 0..3 {
        upgrade(edge).await;
        one_is_left(edge).await;
    }
    over.send(true).unwrap();
    let mut sent = pumps.join_all().await;
    let lines = lines(edge, sent.len()).await;
    let mut told: Vec<u64> = lines.iter().map(|line| sums(line)[0]).collect();
    assert!(lines.iter().all(|line| sums(line)[0] == sums(line)[1]));
    assert!(
        lines
            .iter()
            .all(|line| line["closeReason"] == "client_closed")
    );
    sent.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_ones_live_through_three_upgrades_in_a_row() {
    let target = Target::mirror().await;
    let edge = Edge::start(&upgradable(Config::forwarding_to(&[target.address]))).await;
    three_upgrades(&edge, async |is_over| {
        let mut pumps = JoinSet::new();
        for seed in 0..TUNNELS as u64 {
            let (client, _) = edge.tunnel().await;
            pumps.spawn(pump(client, seed, is_over.clone()));
        }
        pumps
    })
    .await;
    assert_eq!(edge.tunnels_active(target.address), 0.0);
}

async fn encrypted_ones(version: &'static SupportedProtocolVersion) {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    authority.issue("target", &[TARGET_HOST]);
    let mirror = async |mut connection: Answering| {
        connection.has_more().await;
        let head = connection.head().await;
        connection.send(switching_protocols(&head)).await;
        connection.echo().await;
    };
    let target = authority.target("target", mirror).await;
    let config = over_tls(&trusting(&authority), &[target.address]);
    let edge = Edge::start(&upgradable(config.tls(&authority, &["one"]))).await;
    three_upgrades(&edge, async |is_over| {
        let mut pumps = JoinSet::new();
        for seed in 0..TUNNELS as u64 {
            let client = authority.tunnel_in(version, edge.address, HOST).await;
            pumps.spawn(pump(client, seed, is_over.clone()));
        }
        pumps
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_in_tls_1_3_on_both_sides_do_so() {
    encrypted_ones(&TLS13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_in_tls_1_2_do_so() {
    encrypted_ones(&TLS12).await;
}
