//! Tunnels that are frozen, told as to another process and thawed twenty times a second are like
//! others: every byte, every clock, every line.

use std::time::{Duration, Instant};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::harness::tls::{Answering, HOST, TARGET_HOST, over_tls, trusting};
use crate::harness::{Authority, Config, Connection, Edge, Noise, Process, Target, soon};

const OFTEN: &[(&str, &str)] = &[("CULVERT_REFREEZE_TUNNELS", "50")];
const MEGABYTE: usize = 1 << 20;

async fn start(config: &Config) -> Edge {
    Edge::start_by(config, |arguments| Process::start_in(OFTEN, arguments)).await
}

fn sums(line: &serde_json::Value) -> [u64; 2] {
    ["requestBodyBytes", "responseBodyBytes"].map(|field| line[field].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_ones_lose_no_byte_and_leave_one_line() {
    let target = Target::mirror().await;
    let edge = start(&Config::forwarding_to(&[target.address])).await;
    let mut noise = Noise::seeded(1);
    let bytes = noise.bytes(16 * MEGABYTE);
    let (mut client, _) = edge.tunnel().await;
    for part in bytes.chunks(MEGABYTE) {
        assert!(client.swap(part, part.len(), &mut noise).await == part);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let labels = |name: &str| {
        let target = target.address;
        let group = "target_group=\"group\"";
        format!("{name}{{forwarding_rule=\"edge\",target=\"{target}\",{group}}}")
    };
    assert_eq!(edge.metric(&labels("tunnels_active")), 1.0);
    client.finish().await;
    client.to_end().await;
    let line = edge.log_line().await;
    assert_eq!(sums(&line), [bytes.len() as u64; 2]);
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(edge.metric(&labels("tunnels_opened_total")), 1.0);
    assert_eq!(edge.metric(&labels("tunnels_active")), 0.0);
    assert_eq!(edge.count_lines(), 1);
}

async fn encrypted_ones_lose_no_byte(version: &'static SupportedProtocolVersion) {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    authority.issue("target", &[TARGET_HOST]);
    let mirror = async |mut connection: Answering| {
        connection.has_more().await;
        let head = connection.head().await;
        let answer = crate::harness::target::switching_protocols(&head);
        connection.send(answer).await;
        connection.echo().await;
    };
    let target = authority.target("target", mirror).await;
    let config = over_tls(&trusting(&authority), &[target.address]).tls(&authority, &["one"]);
    let edge = start(&config).await;
    let mut noise = Noise::seeded(2);
    let bytes = noise.bytes(8 * MEGABYTE);
    let mut client = authority.tunnel_in(version, edge.address, HOST).await;
    for part in bytes.chunks(MEGABYTE) {
        assert!(client.swap(part, part.len(), &mut noise).await == part);
    }
    client.finish().await;
    client.to_end().await;
    assert_eq!(sums(&edge.log_line().await), [bytes.len() as u64; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_in_tls_1_3_on_both_sides_lose_no_byte() {
    encrypted_ones_lose_no_byte(&TLS13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_in_tls_1_2_lose_no_byte() {
    encrypted_ones_lose_no_byte(&TLS12).await;
}

#[tokio::test]
async fn the_time_that_one_is_idle_goes_on() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await;
    let clocks = "tunnel: {idleTimeout: 600, closeTimeout: 200}";
    let edge = start(&Config::forwarding_to(&[target.address]).rule(clocks)).await;
    let began = Instant::now();
    let (mut client, _) = edge.tunnel().await;
    soon("the end", client.to_end()).await;
    assert!(began.elapsed() >= Duration::from_millis(600));
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "idle_timeout");
    assert_eq!(line["closeCode"], 1001);
    assert!(line["lastActivityMs"].as_f64().unwrap() >= 600.0, "{line}");
}

#[tokio::test]
async fn one_that_is_half_closed_or_stuck_goes_on_to_its_end() {
    let target = Target::upgrading(async |mut connection: Connection| {
        // Nothing is read before the client has filled all that lies between.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let bytes = connection.to_end().await;
        connection.send(bytes).await;
    })
    .await;
    let edge = start(&Config::forwarding_to(&[target.address])).await;
    let bytes = Noise::seeded(3).bytes(12 * MEGABYTE);
    let (mut client, _) = edge.tunnel().await;
    client.send(&bytes).await;
    client.finish().await;
    assert!(client.to_end().await == bytes);
    assert_eq!(sums(&edge.log_line().await), [bytes.len() as u64; 2]);
}
