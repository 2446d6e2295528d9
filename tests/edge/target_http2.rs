//! HTTP/2 towards targets: who is asked in it and who is not, and what of requests and answers is
//! the same. The target is nginx.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Barrier;

use crate::harness::admin::relayed;
use crate::harness::target::ok;
use crate::harness::tls::{TARGET_HOST as HOST, over_tls, trusting};
use crate::harness::{Authority, Config, Connection, Edge, Nginx, Target, eventually};

/// nginx in TLS before a target, with these options of its listener; and a Culvert that asks it in
/// HTTP/2.
async fn behind_nginx(authority: &Authority, options: &str, target: SocketAddr) -> (Nginx, Edge) {
    authority.issue("one", &[HOST]);
    let file = |name| authority.file(name).display().to_string();
    let settings = format!(
        "ssl_certificate {}; ssl_certificate_key {};",
        file("one.crt"),
        file("one.key")
    );
    let nginx = Nginx::before(target, &format!("ssl {options}"), &settings).await;
    let configuration = over_tls(&trusting(authority), &[nginx.address]);
    let edge = Edge::start(&configuration.group("protocolVersion: HTTP2")).await;
    (nginx, edge)
}

#[tokio::test]
async fn a_target_that_offers_http_2_is_asked_in_it_with_bodies_both_ways() {
    let (authority, target) = (Authority::new(), Target::showing().await);
    let (_nginx, edge) = behind_nginx(&authority, "http2", target.address).await;
    let answer = edge.get("/path?a=b").await;
    assert_eq!(answer.header("x-protocol"), Some("HTTP/2.0"));
    assert!(
        answer.text().starts_with("GET /path?a=b HTTP/1.1\r\n"),
        "{}",
        answer.text()
    );
    assert!(
        answer.text().contains("x-forwarded-for: 127.0.0.1\r\n"),
        "{}",
        answer.text()
    );
    let body = "0123456789".repeat(200_000);
    let mut client = edge.connect().await;
    for framing in [
        "Content-Length: 2000000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1E8480\r\n",
    ] {
        let is_chunked = framing.starts_with('T');
        let end = if is_chunked { "\r\n0\r\n\r\n" } else { "" };
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{framing}{body}{end}"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().ends_with(&body), "{framing}");
    }
    let lines = edge.log_lines(3).await;
    for line in &lines[1..] {
        assert_eq!(line["requestBodyBytes"], 2_000_000);
        assert_eq!(line["closeReason"], "completed");
    }
}

#[tokio::test]
async fn many_requests_share_one_connection_of_http_2() {
    const REQUESTS: usize = 20;
    let all = Arc::new(Barrier::new(REQUESTS));
    let target = Target::scripted(move |mut connection: Connection| {
        let all = Arc::clone(&all);
        async move {
            let head = connection.head().await;
            if head.contains("/wait") {
                all.wait().await;
            }
            connection
                .send(ok("hello").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
                .await;
        }
    })
    .await;
    let authority = Authority::new();
    let (_nginx, edge) = behind_nginx(&authority, "http2", target.address).await;
    assert_eq!(edge.get("/").await.status, 200);
    let mut clients = Vec::new();
    for number in 0..REQUESTS {
        let mut client = edge.connect().await;
        client
            .send("GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        clients.push(client);
        // Two at the same moment may each take a connection.
        let is_asked = || (target.heads().len() > number + 1).then_some(());
        eventually("the target is asked", is_asked).await;
    }
    let mut answers = Vec::new();
    for client in &mut clients {
        answers.push(client.answer_to_end().await);
    }
    let mut connections: Vec<_> = answers
        .iter()
        .map(|answer| answer.header("x-connection"))
        .collect();
    assert!(answers.iter().all(|answer| answer.text() == "hello"));
    connections.sort_unstable();
    connections.dedup();
    assert!(connections.len() < REQUESTS / 2, "{connections:?}");
}

#[tokio::test]
async fn a_websocket_goes_over_http_1_1_beside_requests_in_http_2() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    let (_nginx, edge) = behind_nginx(&authority, "http2", target.address).await;
    let (mut client, head) = edge.tunnel().await;
    assert!(head.contains("X-Protocol: HTTP/1.1\r\n"), "{head}");
    client.say_hi().await;
    assert_eq!(edge.get("/").await.header("x-protocol"), Some("HTTP/2.0"));
    client.say_hi().await;
    assert_eq!(relayed(&edge), 1);
}

#[tokio::test]
async fn a_target_that_offers_no_http_2_is_asked_in_http_1_1() {
    let (authority, target) = (Authority::new(), Target::showing().await);
    let (_nginx, edge) = behind_nginx(&authority, "", target.address).await;
    for _ in 0..2 {
        assert_eq!(edge.get("/").await.header("x-protocol"), Some("HTTP/1.1"));
    }
}

#[tokio::test]
async fn http_2_without_tls_begins_with_it() {
    let target = Target::showing().await;
    let nginx = Nginx::before(target.address, "http2", "").await;
    let plain =
        |targets: &[SocketAddr]| Config::forwarding_to(targets).group("protocolVersion: HTTP2");
    let edge = Edge::start(&plain(&[nginx.address])).await;
    for _ in 0..2 {
        let answer = edge.get("/path").await;
        assert_eq!(answer.header("x-protocol"), Some("HTTP/2.0"));
        assert!(answer.text().starts_with("GET /path "));
    }
    // Who knows HTTP/1.1 only has nothing to say to that, but to a handshake.
    let target = Target::named("target").await;
    edge.reload(&plain(&[target.address])).await;
    assert_eq!(edge.get("/").await.status, 502);
    let (mut client, _) = edge.tunnel().await;
    client.say_hi().await;
}

#[tokio::test]
async fn answers_without_a_body_or_a_known_length_arrive_as_they_are() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 204 No Content\r\n\r\n";
    let target = Target::replying(move |head, _| match head {
        head if head.contains("/empty") => empty.to_owned(),
        head if head.starts_with("HEAD") => {
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned()
        }
        _ => chunked.to_owned(),
    })
    .await;
    let authority = Authority::new();
    let (_nginx, edge) = behind_nginx(&authority, "http2", target.address).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.text(), answer.header("x-protocol")),
        ("hello", Some("HTTP/2.0"))
    );
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer_without_body().await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("5"))
    );
    client.send("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer_without_body().await.status, 204);
}

#[tokio::test]
async fn a_request_of_http_1_0_goes_in_http_1_1() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let target = Target::replying(move |_, _| chunked.to_owned()).await;
    let authority = Authority::new();
    let (_nginx, edge) = behind_nginx(&authority, "http2", target.address).await;
    assert_eq!(edge.get("/").await.header("x-protocol"), Some("HTTP/2.0"));
    let answer = edge.request("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.header("x-protocol"), Some("HTTP/1.1"));
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[tokio::test]
async fn a_host_that_http_2_cannot_say_is_a_bad_request() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let (_nginx, edge) = behind_nginx(&authority, "http2", target.address).await;
    let answer = edge
        .request("GET / HTTP/1.1\r\nHost: {a}\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(edge.log_line().await["closeReason"], "refused");
    assert_eq!(edge.get("/").await.text(), "hello");
}
