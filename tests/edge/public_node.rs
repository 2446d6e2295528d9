//! The public node of the guide, as it is but for its ports, its targets, its files and where its
//! load balancer stands.

use std::path::Path;

use crate::harness::client::{HANDSHAKE, status};
use crate::harness::docs::swap;
use crate::harness::edge::free_addresses;
use crate::harness::tls::s_client;
use crate::harness::{Authority, Connection, Edge, Target};

const NAMES: [&str; 2] = ["chat.example.com", "feed.example.com"];

/// What the guide shows.
fn shown() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (_, section) = guide.split_once("\n## A public node\n").unwrap();
    let (_, file) = section.split_once("\n```yaml\n").unwrap();
    file.split_once("```\n").unwrap().0.to_owned()
}

/// The file, with the address of the load balancer, and with this port instead of 80.
fn here(authority: &Authority, balancer: &str, port: u16, targets: [&Target; 2]) -> String {
    let mut ours = Vec::new();
    for name in NAMES {
        authority.issue(name, &[name]);
        for (there, end) in [("fullchain.pem", "crt"), ("privkey.pem", "key")] {
            let here = authority.file(&format!("{name}.{end}"));
            let there = format!("/etc/culvert/{name}/{there}");
            ours.push((there, here.display().to_string()));
        }
    }
    let at = |target: &Target| format!("{{ip: 127.0.0.1, port: {}", target.address.port());
    let port = format!("listenerPort: {port}\n");
    for (there, here) in [
        ("{ip: 10.0.1.11, port: 8080", &*at(targets[0])),
        ("{ip: 10.0.2.11, port: 9000", &at(targets[1])),
        ("      - {ip: 10.0.1.12, port: 8080, weight: 10}\n", ""),
        ("10.0.0.0/24", balancer),
        ("listenerIp: \"::\"", "listenerIp: 127.0.0.1"),
        ("    v6only: false\n", ""),
        ("listenerPort: 443", "listenerPort: LISTEN_PORT"),
        ("listenerPort: 80\n", &port),
        ("accessLog: {path: /var/log/culvert/access.log}\n", ""),
    ] {
        ours.push((there.to_owned(), here.to_owned()));
    }
    let swap = |file: String, (there, here): &(String, String)| swap(&file, there, here);
    ours.iter().fold(shown(), swap)
}

/// A handshake for this host.
fn handshake(host: &str, more: &str) -> String {
    let handshake = HANDSHAKE.replace("Host: example.com", &format!("Host: {host}"));
    handshake.replace("\r\n\r\n", &format!("\r\n{more}\r\n\r\n"))
}

#[tokio::test]
async fn the_public_node_serves_two_names_and_sends_browsers_to_https() {
    let (chat, feed) = (Target::named("chat").await, Target::named("feed").await);
    let (authority, [redirects]) = (Authority::new(), free_addresses());
    let file = here(&authority, "127.0.0.9", redirects.port(), [&chat, &feed]);
    let edge = Edge::start(&file).await;

    for (host, more, expected) in [
        (NAMES[0], "Origin: https://chat.example.com", 101),
        (NAMES[0], "Origin: https://eu.chat.example.com", 101),
        (NAMES[0], "Origin: https://evil.example", 403),
        (NAMES[1], "Sec-WebSocket-Protocol: feed.v2", 101),
        (NAMES[1], "Sec-WebSocket-Protocol: feed.v1", 403),
    ] {
        let mut client = authority.connect(edge.address, host).await;
        client.send(handshake(host, more)).await;
        assert_eq!(status(&client.head().await), expected, "{host}: {more}");
    }
    let stranger = s_client(edge.address, &["-servername", "other.example"]).await;
    assert!(!stranger.contains("BEGIN CERTIFICATE"), "{stranger}");

    for host in NAMES {
        let mut client = Connection::open(redirects).await;
        let request = format!("GET /room?a=b HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 308);
        let location = format!("https://{host}/room?a=b");
        assert_eq!(answer.header("location"), Some(location.as_str()));
    }
}

#[tokio::test]
async fn the_public_node_believes_its_load_balancer_about_clients() {
    let (chat, feed) = (Target::named("chat").await, Target::named("feed").await);
    let (authority, [redirects]) = (Authority::new(), free_addresses());
    let file = here(&authority, "127.0.0.1", redirects.port(), [&chat, &feed]);
    let edge = Edge::start(&file).await;
    let ask = async |client: &str| {
        let mut connection = Connection::open(redirects).await;
        let header = format!("PROXY TCP4 {client} 192.0.2.1 4711 80\r\n");
        let request = "GET / HTTP/1.1\r\nHost: chat.example.com\r\n\r\n";
        connection.send(header + request).await;
        let answer = connection.answer().await;
        (connection, answer.status)
    };
    let mut open = Vec::new();
    for _ in 0..50 {
        let (connection, status) = ask("192.0.2.7").await;
        assert_eq!(status, 308);
        open.push(connection);
    }
    assert_eq!(ask("192.0.2.7").await.1, 503);
    assert_eq!(ask("192.0.2.8").await.1, 308);
    let lines = edge.log_lines(52).await;
    // The order of two that end together is not certain.
    assert!(lines.iter().any(|line| line["clientIp"] == "192.0.2.8"));
    let mut without = Connection::open(redirects).await;
    without
        .send("GET / HTTP/1.1\r\nHost: chat.example.com\r\n\r\n")
        .await;
    assert_eq!(without.to_end().await, b"");
}
