//! A side that does not read: how much of a body stands between a client and its target, and how
//! long it may.

use std::time::Duration;

use http::{Request, Response};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::client::HANDSHAKE;
use crate::harness::http2::{self, Http2, get};
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

pub const COUNT: usize = 60;
pub const LARGE: usize = 8 << 20;

/// How much memory the process has once it needs no more for a while.
pub async fn settled(edge: &Edge) -> usize {
    let mut ticks = interval(Duration::from_millis(100));
    let mut last = Vec::new();
    let settling = async {
        loop {
            ticks.tick().await;
            last.push(edge.resident_memory());
            let recent = last.iter().rev().take(8);
            let (least, most) = (recent.clone().min(), recent.max());
            if last.len() > 8 && most.unwrap() - least.unwrap() < 64 << 10 {
                return *last.last().unwrap();
            }
        }
    };
    soon("the memory settles", settling).await
}

/// An edge that lets nobody go, for targets that answer with much.
async fn patient(target: &Target) -> Edge {
    Edge::start(&patience(target)).await
}

pub fn patience(target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .rule("clientTimeout: 60000")
        .group("responseTimeout: 60000")
}

pub async fn large_answers(size: usize) -> Target {
    let body = "x".repeat(size);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{body}");
    Target::replying(move |_, _| answer.clone()).await
}

/// A target that takes the head of a request, and nothing after it.
pub async fn taking_nothing() -> Target {
    Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        std::future::pending::<()>().await;
    })
    .await
}

/// A target of HTTP/2 whose answers are this long.
async fn large_answers_in_http2(size: usize) -> Target {
    let body = Bytes::from(vec![b'x'; size]);
    http2::target(move |_, mut answer| {
        let body = body.clone();
        async move {
            let mut sender = answer.send_response(Response::new(()), false).unwrap();
            sender.send_data(body, true).ok();
            // The rest goes as the other side takes it.
            std::future::poll_fn(|cx| sender.poll_reset(cx)).await.ok();
        }
    })
    .await
}

/// Such an edge whose target is asked in HTTP/2.
async fn patient_in_http2(target: &Target) -> Edge {
    let configuration = patience(target).group("protocolVersion: HTTP2");
    Edge::start(&configuration).await
}

/// What one of `COUNT` costs, in bytes, beyond what the first has cost.
pub fn each(before: usize, after: usize) -> usize {
    after.saturating_sub(before) / COUNT
}

#[tokio::test]
async fn a_connection_whose_client_takes_no_answer_costs_less_than_112_kb() {
    let target = large_answers(LARGE).await;
    let each = each_client(&patient(&target).await).await;
    assert!(each < 112 << 10, "{each} bytes");
}

#[tokio::test]
async fn a_connection_whose_client_takes_no_answer_of_http_2_costs_less_than_128_kb() {
    let target = large_answers_in_http2(LARGE).await;
    let each = each_client(&patient_in_http2(&target).await).await;
    assert!(each < 128 << 10, "{each} bytes");
}

/// What one more client costs that asks and does not read.
async fn each_client(edge: &Edge) -> usize {
    let ask = async || {
        let mut client = edge.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        client
    };
    let _first = ask().await;
    let before = settled(edge).await;
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        clients.push(ask().await);
    }
    each(before, settled(edge).await)
}

#[tokio::test]
async fn a_stream_whose_client_takes_no_answer_costs_less_than_64_kb() {
    let target = large_answers(LARGE).await;
    let each = each_stream(&patient(&target).await).await;
    assert!(each < 64 << 10, "{each} bytes");
}

#[tokio::test]
async fn a_stream_whose_client_takes_no_answer_of_http_2_costs_less_than_92_kb() {
    let target = large_answers_in_http2(LARGE).await;
    let each = each_stream(&patient_in_http2(&target).await).await;
    assert!(each < 92 << 10, "{each} bytes");
}

/// What one more stream costs that asks and does not read.
async fn each_stream(edge: &Edge) -> usize {
    let mut client = Http2::connect(edge.address).await;
    let mut streams = vec![client.open(get("/")).await];
    let before = settled(edge).await;
    for _ in 0..COUNT {
        streams.push(client.open(get("/")).await);
    }
    each(before, settled(edge).await)
}

#[tokio::test]
async fn a_connection_whose_target_takes_no_body_costs_less_than_128_kb() {
    let target = taking_nothing().await;
    let edge = patient(&target).await;
    let upload = async || {
        let mut client = edge.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
            .await;
        client
    };
    let send = |mut client: Connection| {
        tokio::spawn(async move {
            client.send(vec![b'x'; 100_000_000]).await;
        })
    };
    let first = send(upload().await);
    let before = settled(&edge).await;
    let mut uploads = vec![first];
    for _ in 0..COUNT {
        uploads.push(send(upload().await));
    }
    eventually("all have come", || {
        (target.heads().len() > COUNT).then_some(())
    })
    .await;
    let each = each(before, settled(&edge).await);
    uploads.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(each < 128 << 10, "{each} bytes");
}

#[tokio::test]
async fn a_stream_whose_target_takes_no_body_costs_less_than_64_kb() {
    let target = taking_nothing().await;
    let edge = patient(&target).await;
    let mut client = Http2::connect(edge.address).await;
    let mut upload = || {
        let request = Request::post("http://a.example/").body(()).unwrap();
        let (answer, mut sender) = client.send(request);
        sender.send_data(vec![b'x'; 8 << 20].into(), false).unwrap();
        (answer, sender)
    };
    let _first = upload();
    let before = settled(&edge).await;
    let _others: Vec<_> = (0..COUNT).map(|_| upload()).collect();
    eventually("all have come", || {
        (target.heads().len() > COUNT).then_some(())
    })
    .await;
    let each = each(before, settled(&edge).await);
    assert!(each < 64 << 10, "{each} bytes");
}

#[tokio::test]
async fn a_client_that_is_gone_ends_its_upload_whatever_the_target_does() {
    let target = taking_nothing().await;
    let edge = patient(&target).await;
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let lines = edge.log().len();
        let mut client = edge.connect().await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        client.send(head).await;
        let part = format!("{:x}\r\n{}\r\n", LARGE, "x".repeat(LARGE)).into_bytes();
        // As much as anybody takes.
        let half = Duration::from_millis(500);
        while timeout(half, client.send(&part)).await.is_ok() {}
        client.reset();
        let gone = Instant::now();
        let line = eventually("it is logged", || edge.log().get(lines).cloned()).await;
        assert!(gone.elapsed() < Duration::from_secs(3));
        let reason = line["closeReason"].as_str().unwrap();
        assert!(reason.starts_with("client_"), "{framing}: {line}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_upload_whatever_the_target_does() {
    let target = taking_nothing().await;
    let edge = patient(&target).await;
    let mut client = Http2::connect(edge.address).await;
    let request = Request::post("http://a.example/").body(()).unwrap();
    let (_answer, mut sender) = client.send(request);
    sender
        .send_data(vec![b'x'; 32 << 20].into(), false)
        .unwrap();
    settled(&edge).await;
    sender.send_reset(h2::Reason::CANCEL);
    let line = soon("it is logged", edge.log_line()).await;
    assert_eq!(line["closeReason"], "client_closed");
}

#[tokio::test]
async fn a_client_that_is_gone_ends_its_upload_to_a_target_of_http_2() {
    let target = http2::target(async |request, _answer| {
        // Nothing is read, so that nothing more may be sent.
        let _body = request.into_body();
        std::future::pending::<()>().await;
    })
    .await;
    let edge = patient_in_http2(&target).await;
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let part = vec![b'x'; LARGE];
    let half = Duration::from_millis(500);
    while timeout(half, client.send(&part)).await.is_ok() {}
    client.reset();
    let gone = Instant::now();
    let line = soon("it is logged", edge.log_line()).await;
    assert!(gone.elapsed() < Duration::from_secs(3));
    let reason = line["closeReason"].as_str().unwrap();
    assert!(reason.starts_with("client_"), "{line}");
    let mut client = Http2::connect(edge.address).await;
    let request = Request::post("http://a.example/").body(()).unwrap();
    let (_answer, mut sender) = client.send(request);
    sender.send_data(part.into(), false).unwrap();
    settled(&edge).await;
    sender.send_reset(h2::Reason::CANCEL);
    let line = soon("it is logged", edge.log_lines(2)).await.remove(1);
    assert_eq!(line["closeReason"], "client_closed");
}

#[tokio::test]
async fn a_client_that_takes_a_byte_now_and_then_is_let_go() {
    let target = large_answers(32 << 20).await;
    let configuration = Config::forwarding_to(&[target.address]).rule("clientTimeout: 1000");
    let edge = Edge::start(&configuration).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let began = Instant::now();
    let trickling = async {
        loop {
            client.exactly(1).await;
            sleep(Duration::from_millis(50)).await;
            if !edge.log().is_empty() {
                return;
            }
        }
    };
    soon("the client is let go", trickling).await;
    let line = edge.log_line().await;
    assert!(began.elapsed() > Duration::from_secs(1));
    assert_eq!(line["closeReason"], "client_error");
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("minimumRate"), "{error}");
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_is_answered_with_408() {
    let target = Target::showing().await;
    let configuration = Config::forwarding_to(&[target.address]).rule("clientTimeout: 1000");
    let edge = Edge::start(&configuration).await;
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut client = edge.connect().await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        client.send(head).await;
        let (stream, _) = client.into_parts();
        let (reader, mut writer) = tokio::io::split(stream);
        let trickle = tokio::spawn(async move {
            loop {
                let sent = tokio::io::AsyncWriteExt::write_all(&mut writer, b"1\r\nx\r\n").await;
                if sent.is_err() {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        let mut client = Connection::over(tokio::io::join(reader, tokio::io::sink()));
        assert_eq!(client.answer().await.status, 408, "{framing}");
        trickle.abort();
    }
}

#[tokio::test]
async fn a_client_that_is_gone_ends_its_handshake_and_the_target_is_not_blamed() {
    let target = taking_nothing().await;
    let configuration = Config::forwarding_to(&[target.address])
        .group("responseTimeout: 60000")
        .rule("clientTimeout: 60000, tunnel: {handshakeTimeout: 60s}");
    let edge = Edge::start(&configuration).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    eventually("the target is asked", || {
        (!target.heads().is_empty()).then_some(())
    })
    .await;
    client.reset();
    let line = soon("it is logged", edge.log_line()).await;
    assert_eq!(line["closeReason"], "client_error");
}
