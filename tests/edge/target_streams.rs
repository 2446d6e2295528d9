//! A stream to a target of HTTP/2: what is said on it besides a request and an answer, and how it
//! may end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::http2::{self, Http2};
use crate::harness::{Config, Connection, Edge, Nginx, Target, eventually, soon};

/// Forwards to one target in HTTP/2, for clients of either version.
fn in_http2(target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .group("protocolVersion: HTTP2")
}

/// Such an edge that waits for longer than a test does.
async fn patient(target: &Target) -> Edge {
    let limits = in_http2(target)
        .rule("clientTimeout: 60000")
        .group("responseTimeout: 60000");
    Edge::start(&limits).await
}

/// A client whose body goes no further: as much of it is sent as anybody takes.
async fn stuck(edge: &Edge) -> Connection {
    let mut client = edge.connect().await;
    client
        .send("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    let part = vec![b'x'; 1 << 20];
    let half = Duration::from_millis(500);
    while timeout(half, client.send(&part)).await.is_ok() {}
    client
}

async fn body_of(request: Request<RecvStream>) -> Vec<u8> {
    let (mut body, mut all) = (request.into_body(), Vec::new());
    while let Some(Ok(part)) = body.data().await {
        body.flow_control().release_capacity(part.len()).unwrap();
        all.extend_from_slice(&part);
    }
    all
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_request_that_was_not_processed_is_sent_again_whatever_its_method() {
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    let target = http2::target(move |request, mut answer| {
        let number = counted.fetch_add(1, SeqCst);
        async move {
            if number < 2 {
                return answer.send_reset(Reason::REFUSED_STREAM);
            }
            let body = body_of(request).await;
            let mut sender = answer.send_response(Response::new(()), false).unwrap();
            sender.send_data(body.into(), true).unwrap();
        }
    })
    .await;
    let edge = Edge::start(&in_http2(&target)).await;
    let mut client = edge.connect().await;
    client.send(POST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(asked.load(SeqCst), 3);
}

#[tokio::test]
async fn a_target_that_processes_nothing_is_given_up() {
    let target = http2::target(async |_, mut answer| {
        answer.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let edge = Edge::start(&in_http2(&target)).await;
    assert_eq!(edge.request(POST).await.status, 502);
    let line = edge.log_line().await;
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("not processed by the target"), "{line}");
}

/// nginx says goodbye with each twentieth request, to all that come after it.
#[tokio::test]
async fn no_post_is_lost_by_goodbyes() {
    const CLIENTS: usize = 16;
    const EACH: usize = 25;
    let target = Target::answering("hello").await;
    let nginx = Nginx::before(target.address, "http2", "keepalive_requests 20;").await;
    let configuration = Config::forwarding_to(&[nginx.address]).group("protocolVersion: HTTP2");
    let edge = Arc::new(Edge::start(&configuration).await);
    let clients = (0..CLIENTS).map(|_| {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move {
            let mut client = edge.connect().await;
            for _ in 0..EACH {
                client.send(POST).await;
                let answer = client.answer().await;
                assert_eq!((answer.status, answer.text()), (200, "hello"));
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    edge.log_lines(CLIENTS * EACH).await;
}

#[tokio::test]
async fn interim_answers_reach_a_client_of_http_1_1() {
    let target = http2::target(async |request, mut answer| {
        let early = Response::builder().status(103).header("link", "</a.css>");
        answer.send_informational(early.body(()).unwrap()).unwrap();
        let go_on = Response::builder().status(100).body(()).unwrap();
        answer.send_informational(go_on).unwrap();
        let body = body_of(request).await;
        let mut sender = answer.send_response(Response::new(()), false).unwrap();
        sender.send_data(body.into(), true).unwrap();
    })
    .await;
    let edge = Edge::start(&in_http2(&target)).await;
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let early = client.head().await;
    assert!(early.starts_with("HTTP/1.1 103 "), "{early}");
    assert!(early.contains("</a.css>"), "{early}");
    let go_on = client.head().await;
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    client.send("hello").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}

#[tokio::test]
async fn trailers_reach_a_client_of_http_2_as_grpc_needs_them() {
    let target = http2::target(async |request: Request<RecvStream>, mut answer| {
        assert_eq!(request.headers()["te"], "trailers");
        let body = body_of(request).await;
        let mut sender = answer.send_response(Response::new(()), false).unwrap();
        sender.send_data(body.into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        sender.send_trailers(trailers).unwrap();
    })
    .await;
    let edge = Edge::start(&in_http2(&target)).await;
    let mut client = Http2::connect(edge.address).await;
    let request = Request::post("http://a.example/service").header("te", "trailers");
    let reply = client.ask(request.body(()).unwrap(), "hello").await;
    assert_eq!((reply.status(), reply.text()), (200, "hello"));
    assert_eq!(reply.trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn an_answer_before_the_requests_end_is_the_answer() {
    let target = http2::target(async |_request, mut answer| {
        let head = Response::builder().status(413).body(()).unwrap();
        let mut sender = answer.send_response(head, false).unwrap();
        sender
            .send_data(Bytes::from_static(b"too much"), true)
            .unwrap();
        // Whoever does not read the rest resets the stream without an error.
    })
    .await;
    let edge = Edge::start(&in_http2(&target)).await;
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "too much"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_on_as_whole() {
    let target = http2::target(async |_request, mut answer| {
        let mut sender = answer.send_response(Response::new(()), false).unwrap();
        sender
            .send_data(Bytes::from_static(b"half"), false)
            .unwrap();
        // It has left before the reset overtakes it.
        std::future::poll_fn(|cx| {
            sender.reserve_capacity(1);
            sender.poll_capacity(cx)
        })
        .await;
        tokio::task::yield_now().await;
        sender.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let edge = Edge::start(&in_http2(&target)).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let all = soon("the end", client.to_end()).await;
    let text = String::from_utf8_lossy(&all);
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    let line = edge.log_line().await;
    assert_ne!(line["closeReason"], "completed", "{line}");
}

#[tokio::test]
async fn a_connection_whose_target_is_silent_gets_no_more_requests() {
    let target = http2::target(async |request: Request<RecvStream>, mut answer| {
        if request.uri().path() == "/wait" {
            std::future::pending::<()>().await;
        }
        answer.send_response(Response::new(()), true).unwrap();
    })
    .await;
    let configuration = in_http2(&target).group("responseTimeout: 300");
    let edge = Edge::start(&configuration).await;
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(target.connections(), 1);
    assert_eq!(edge.get("/wait").await.status, 504);
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(target.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed_when_its_target_says_so() {
    let target = Target::answering("hello").await;
    let settings = "keepalive_timeout 1s;";
    let nginx = Nginx::before(target.address, "http2", settings).await;
    let configuration = Config::forwarding_to(&[nginx.address]).group("protocolVersion: HTTP2");
    let edge = Edge::start(&configuration).await;
    let before = edge.open_files();
    assert_eq!(edge.get("/").await.text(), "hello");
    let is_closed = || (edge.open_files() <= before).then_some(());
    eventually("the connection is closed", is_closed).await;
}

#[tokio::test]
async fn an_answer_in_many_small_frames_arrives_and_harms_nobody() {
    const PARTS: usize = 4000;
    let target = http2::target(async |_request, mut answer| {
        let mut sender = answer.send_response(Response::new(()), false).unwrap();
        for _ in 0..PARTS {
            sender
                .send_data(Bytes::from_static(b"part"), false)
                .unwrap();
        }
        sender.send_data(Bytes::new(), true).unwrap();
    })
    .await;
    let edge = Edge::start(&in_http2(&target)).await;
    let mut client = edge.connect().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.body.len(), 4 * PARTS);
    }
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn an_answer_is_heard_while_its_target_takes_no_more_of_the_request() {
    let target = http2::target(async |request: Request<RecvStream>, mut answer| {
        let head = Response::builder().status(413).body(()).unwrap();
        answer.send_response(head, true).unwrap();
        // Neither read nor reset.
        let _body = request.into_body();
        std::future::pending::<()>().await;
    })
    .await;
    let edge = patient(&target).await;
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    client.send(vec![b'x'; 300_000]).await;
    assert_eq!(client.head().await.split(' ').nth(1), Some("413"));
}

#[tokio::test]
async fn a_body_that_its_target_does_not_take_holds_up_no_other() {
    let target = http2::target(async |request: Request<RecvStream>, mut answer| {
        if request.uri().path() == "/wait" {
            let _body = request.into_body();
            return std::future::pending::<()>().await;
        }
        let body = body_of(request).await;
        let mut sender = answer.send_response(Response::new(()), false).unwrap();
        sender.send_data(body.into(), true).unwrap();
    })
    .await;
    let edge = patient(&target).await;
    let _stuck = stuck(&edge).await;
    let mut client = edge.connect().await;
    client.send(POST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}
