//! A side that does not read, where more stands between than bytes: how much of a body waits in
//! TLS, in chunks, and in few streams of HTTP/2.

use http::Request;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;

use crate::backlog::{COUNT, LARGE, each, large_answers, patience, settled, taking_nothing};
use crate::harness::http2::Http2;
use crate::harness::tls::HOST;
use crate::harness::{Authority, Edge, Target, eventually};

/// An edge in TLS that lets nobody go.
async fn encrypted(authority: &Authority, target: &Target) -> Edge {
    authority.issue("one", &[HOST]);
    let configuration = patience(target).rule("h2c: null").tls(authority, &["one"]);
    Edge::start(&configuration).await
}

/// The part of a body that is sent without end.
fn part(framing: &str) -> Vec<u8> {
    let payload = vec![b'x'; 64 << 10];
    match framing {
        "Transfer-Encoding: chunked" => [b"10000\r\n", &payload[..], b"\r\n"].concat(),
        _ => payload,
    }
}

/// Sends the head of an upload, and then of its body as much as anybody takes.
fn upload<S>(mut stream: S, framing: &str) -> JoinHandle<()>
where
    S: tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    let part = part(framing);
    tokio::spawn(async move {
        stream.write_all(head.as_bytes()).await.ok();
        while stream.write_all(&part).await.is_ok() {}
    })
}

/// What one more upload costs that the target does not take.
async fn each_upload<S>(
    edge: &Edge,
    target: &Target,
    framing: &str,
    connect: impl AsyncFn() -> S,
) -> usize
where
    S: tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let first = upload(connect().await, framing);
    let before = settled(edge).await;
    let mut uploads = vec![first];
    for _ in 0..COUNT {
        uploads.push(upload(connect().await, framing));
    }
    eventually("all have come", || {
        (target.heads().len() > COUNT).then_some(())
    })
    .await;
    let each = each(before, settled(edge).await);
    uploads.iter().for_each(JoinHandle::abort);
    each
}

const LENGTH: &str = "Content-Length: 100000000";
const CHUNKED: &str = "Transfer-Encoding: chunked";

#[tokio::test]
async fn a_body_in_chunks_that_its_target_does_not_take_costs_less_than_144_kb() {
    let target = taking_nothing().await;
    let edge = Edge::start(&patience(&target)).await;
    let connect = async || edge.connect().await.into_parts().0;
    let each = each_upload(&edge, &target, CHUNKED, connect).await;
    assert!(each < 144 << 10, "{each} bytes");
}

#[tokio::test]
async fn a_body_in_tls_that_its_target_does_not_take_costs_no_more_than_rustls_needs_beside_it() {
    for (framing, most) in [(LENGTH, 164 << 10), (CHUNKED, 192 << 10)] {
        let target = taking_nothing().await;
        let authority = Authority::new();
        let edge = encrypted(&authority, &target).await;
        let connect = async || authority.connect(edge.address, HOST).await.into_parts().0;
        let each = each_upload(&edge, &target, framing, connect).await;
        assert!(each < most, "{framing}: {each} bytes");
    }
}

#[tokio::test]
async fn an_answer_in_tls_that_its_client_does_not_take_costs_less_than_116_kb() {
    let target = large_answers(LARGE).await;
    let authority = Authority::new();
    let edge = encrypted(&authority, &target).await;
    let ask = async || {
        let mut client = authority.connect(edge.address, HOST).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        client
    };
    let _first = ask().await;
    let before = settled(&edge).await;
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        clients.push(ask().await);
    }
    let each = each(before, settled(&edge).await);
    assert!(each < 116 << 10, "{each} bytes");
}

#[tokio::test]
async fn a_body_that_has_a_connection_of_http_2_for_itself_costs_its_window_more() {
    let target = taking_nothing().await;
    let edge = Edge::start(&patience(&target)).await;
    let upload = async || {
        let mut client = Http2::connect(edge.address).await;
        let request = Request::post("http://a.example/").body(()).unwrap();
        let (answer, mut sender) = client.send(request);
        sender.send_data(vec![b'x'; LARGE].into(), false).unwrap();
        (client, answer, sender)
    };
    let _first = upload().await;
    let before = settled(&edge).await;
    let mut uploads = Vec::new();
    for _ in 0..COUNT {
        uploads.push(upload().await);
    }
    let come = || (target.heads().len() > COUNT).then_some(());
    eventually("all have come", come).await;
    let each = each(before, settled(&edge).await);
    assert!(each < 256 << 10, "{each} bytes");
}
