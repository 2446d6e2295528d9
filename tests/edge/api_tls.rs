//! The API in TLS, with a certificate of the configuration.

use std::net::SocketAddr;

use crate::harness::api::BASE;
use crate::harness::edge::{body_of, free_addresses};
use crate::harness::tls::{HOST, s_client};
use crate::harness::{Authority, Config, Edge, soon};

/// A Culvert whose API shows this certificate, and where that is.
async fn start(authority: &Authority, name: &str) -> (Edge, SocketAddr) {
    let [address] = free_addresses();
    let keys = format!("certificate: {name}, hostNames: [{HOST}]");
    let config = Config::answering("hello").certificates(authority, &[name]);
    (Edge::start(&config.api(address, &keys)).await, address)
}

#[tokio::test]
async fn the_api_speaks_tls_where_a_certificate_is_named_and_its_urls_say_so() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let (edge, address) = start(&authority, "one").await;
    let mut client = authority.connect(address, HOST).await;
    client
        .send(format!("GET {BASE} HTTP/1.1\r\nHost: {HOST}:9901\r\n\r\n"))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = body_of(&format!("\r\n\r\n{}", answer.text()));
    assert_eq!(body["href"], format!("https://{HOST}:9901{BASE}"));
    let said = s_client(address, &["-alpn", "h2,http/1.1"]).await;
    assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
    let said = s_client(address, &["-tls1_1"]).await;
    assert!(!said.contains("BEGIN CERTIFICATE"), "{said}");
    // Who does not speak it is heard no further.
    let mut plain = crate::harness::Connection::open(address).await;
    plain
        .send(format!("GET {BASE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .await;
    let end = plain.to_end().await;
    assert!(!String::from_utf8_lossy(&end).contains("HTTP/1.1 200"));
    edge.says("api.listen: ").await;
}

#[tokio::test]
async fn a_certificate_that_is_written_anew_is_shown_to_whoever_comes_then() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let (_edge, address) = start(&authority, "one").await;
    let shown = async || {
        let said = s_client(address, &[]).await;
        authority.name_of(&said, &["one"]).is_some()
    };
    assert!(shown().await);
    authority.issue("one", &[HOST]);
    soon("the new one is shown", async { while !shown().await {} }).await;
}

#[tokio::test]
async fn whoever_does_not_shake_hands_gives_way_to_a_new_connection() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let (_edge, address) = start(&authority, "one").await;
    let connect = |_| std::net::TcpStream::connect(address).unwrap();
    let _silent: Vec<_> = (0..64).map(connect).collect();
    let mut client = authority.connect(address, HOST).await;
    client
        .send(format!("GET {BASE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .await;
    assert_eq!(client.answer().await.status, 200);
}
