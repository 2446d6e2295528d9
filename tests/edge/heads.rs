//! What of a head arrives on the other side, and what is said there in its place.

use crate::harness::client::header;
use crate::harness::{Edge, Target};

#[tokio::test]
async fn the_host_arrives_at_the_target_as_it_was_sent() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for host in ["ExAmple.COM:81", "example.com", "[::1]:8080", "10.0.0.1"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = edge.request(&request).await;
        assert_eq!(header(answer.text(), "host"), Some(host));
        assert_eq!(header(answer.text(), "x-forwarded-host"), Some(host));
    }
}

#[tokio::test]
async fn the_request_target_arrives_as_it_was_sent() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for uri in [
        "/a//b/../%2e%2E/%zz?x=%20&y[]='|'",
        "/?",
        "/;a=b",
        "//host/a",
    ] {
        let answer = edge.get(uri).await;
        let line = answer.text().lines().next().unwrap();
        assert_eq!(line, format!("GET {uri} HTTP/1.1"));
    }
}

#[tokio::test]
async fn the_target_is_told_the_truth_about_the_client_whatever_the_client_says() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;

    let answer = edge
        .request(
            "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\
             X-Forwarded-For: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2, 10.0.0.3\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: admin.example.com\r\n\
             X-Forwarded-Port: 443\r\nForwarded: for=10.0.0.1;proto=https\r\n\
             X-Request-Id: mine\r\nX-Request-Id: also-mine\r\n\r\n",
        )
        .await;

    let line = edge.log_line().await;
    let seen = answer.text();
    assert_eq!(headers(seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(headers(seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(headers(seen, "x-forwarded-host"), ["example.com"]);
    assert_eq!(
        headers(seen, "x-request-id"),
        [line["trackingId"].as_str().unwrap()]
    );
    assert_eq!(headers(seen, "x-forwarded-port"), [""; 0]);
    assert_eq!(headers(seen, "forwarded"), [""; 0]);
}

#[tokio::test]
async fn headers_for_one_connection_do_not_reach_the_target() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;

    let answer = edge
        .request(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, close\r\nConnection: x-other\r\n\
             X-Hop: 1\r\nX-Other: 1\r\nX-End: 1\r\nKeep-Alive: timeout=5\r\nTE: gzip\r\n\
             Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\r\n",
        )
        .await;

    let seen = answer.text();
    for name in [
        "x-hop",
        "x-other",
        "keep-alive",
        "te",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(header(seen, name), None, "{name}");
    }
    assert_eq!(header(seen, "x-end"), Some("1"));
    assert_ne!(header(seen, "connection"), Some("close"));
}

#[tokio::test]
async fn headers_for_one_connection_do_not_reach_the_client() {
    let target = Target::replying(|_, _| {
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-End: 1\r\n\
         Keep-Alive: timeout=600\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n"
            .into()
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;

    let answer = edge.get("/").await;

    for name in ["x-hop", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-end"), Some("1"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_request_of_two_lengths_smuggles_nothing_to_the_target() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let inner = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let lengths = format!(
        "Content-Length: {}\r\nTransfer-Encoding: chunked",
        inner.len()
    );
    let mut client = edge.connect().await;

    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n{inner}"
        ))
        .await;

    let answer = client.answer().await;
    assert_eq!(header(answer.text(), "content-length"), None);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.to_end().await, b"");
    assert_eq!(edge.log_line().await["requestUri"], "/");
}

/// The values of all headers of this name.
fn headers<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}
