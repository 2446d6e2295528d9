//! A client in TLS that has ended its side behind a body is not taken for one that has left in the
//! middle of it, however slowly its target takes what has come.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::tls::{HOST, forwarding};
use crate::harness::{Authority, Edge, http2};

/// More than a target of HTTP/2 takes unasked, and not more than that by what the system keeps.
const LENGTHS: [usize; 5] = [125_000, 135_000, 150_000, 165_000, 180_000];

#[tokio::test]
async fn a_body_that_waits_in_tls_for_its_target_is_whole() {
    let go_on = Arc::<Notify>::default();
    let told = Arc::clone(&go_on);
    let target = http2::target(move |request, mut answer| {
        let told = Arc::clone(&told);
        async move {
            told.notified().await;
            let (mut body, mut length) = (request.into_body(), 0);
            while let Some(part) = body.data().await {
                let part = part.unwrap();
                length += part.len();
                body.flow_control().release_capacity(part.len()).unwrap();
            }
            let head = Response::builder().header("x-length", length);
            answer.send_response(head.body(()).unwrap(), true).unwrap();
        }
    })
    .await;
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let configuration = forwarding(&authority, &["one"], "", target.address)
        .group("protocolVersion: HTTP2")
        .rule("clientTimeout: 60s")
        .group("responseTimeout: 60s");
    let edge = Edge::start(&configuration).await;
    for length in LENGTHS {
        let mut client = authority.connect(edge.address, HOST).await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send(head + &"x".repeat(length)).await;
        client.finish().await;
        let early = timeout(Duration::from_millis(1200), client.has_more()).await;
        assert!(early.is_err(), "the client was given up: {length}");
        go_on.notify_one();
        let answer = client.answer().await;
        assert_eq!(answer.header("x-length"), Some(&*length.to_string()));
    }
    for line in edge.log_lines(LENGTHS.len()).await {
        assert_eq!(line["closeReason"], "completed", "{line}");
    }
}
