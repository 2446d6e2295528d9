//! Trailers of requests and of answers pass from either version of HTTP to either, without those
//! that would mislead.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::client::header;
use crate::harness::http2::{self, Http2, get};
use crate::harness::{Config, Connection, Edge, Target, soon};

/// What a target was asked: the fields `te` and `trailer` of the head, the body, and the trailers.
type Seen = Arc<Mutex<Vec<(String, String, HeaderMap)>>>;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Host\r\n\
    Connection: X-Hop\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\nX-Hop: 1\r\n\r\n";
/// Its payload is what ends a body in chunks.
const BODY: &str = "0\r\n\r\n";
const FIELDS: &str =
    "X-Sum: 5\r\nAuthorization: me\r\nX-Real-IP: 192.0.2.1\r\nX_B: c\r\nX-Hop: 1\r\n";

fn fields(text: &str) -> HeaderMap {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

/// A body in chunks, and the trailers behind it.
async fn chunks(connection: &mut Connection) -> (String, HeaderMap) {
    let mut line = async || {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(connection.exactly(1).await[0].into());
        }
        line
    };
    let (mut body, mut trailers) = (String::new(), String::new());
    loop {
        let size = usize::from_str_radix(line().await.trim_end(), 16).unwrap();
        if size == 0 {
            break;
        }
        let mut part = String::new();
        while part.len() < size + 2 {
            part += &line().await;
        }
        body += &part[..size];
    }
    while !trailers.ends_with("\r\n\r\n") && trailers != "\r\n" {
        trailers += &line().await;
    }
    (body, fields(&trailers))
}

fn said(te: Option<&str>, trailer: Option<&str>) -> String {
    format!("{} {}", te.unwrap_or("-"), trailer.unwrap_or("-"))
}

async fn target_of_http_1(seen: Seen) -> Target {
    Target::scripted(move |mut connection: Connection| {
        let seen = Arc::clone(&seen);
        async move {
            while connection.has_more().await {
                let head = connection.head().await;
                let said = said(header(&head, "te"), header(&head, "trailer"));
                let (body, trailers) = chunks(&mut connection).await;
                seen.lock().unwrap().push((said, body, trailers));
                connection.send(ANSWER).await;
            }
        }
    })
    .await
}

async fn body_of(body: &mut RecvStream) -> String {
    let mut all = Vec::new();
    while let Some(Ok(part)) = soon("a body", body.data()).await {
        all.extend_from_slice(&part);
    }
    String::from_utf8(all).unwrap()
}

async fn answer_in_http_2(
    seen: Seen,
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
) {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let said = said(text("te"), text("trailer"));
    let has_length = request.uri().path() == "/length";
    let mut receiver = request.into_body();
    let body = body_of(&mut receiver).await;
    let trailers = receiver.trailers().await.unwrap().unwrap_or_default();
    seen.lock().unwrap().push((said, body, trailers));
    let mut head = Response::builder().header("trailer", "x-sum, host");
    if has_length {
        head = head.header("content-length", "5");
    }
    let mut sender = answer.send_response(head.body(()).unwrap(), false).unwrap();
    sender.send_data(BODY.into(), false).unwrap();
    sender
        .send_trailers(fields("X-Sum: 7\nContent-Range: 9"))
        .unwrap();
}

async fn target_of_http_2(seen: Seen) -> Target {
    http2::target(move |request, answer| answer_in_http_2(Arc::clone(&seen), request, answer)).await
}

fn configuration(target: &Target, version: &str) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .group(&format!("protocolVersion: {version}"))
        .each_target("healthCheckEnabled: false")
}

/// Culverts before a target of either version, and what these are asked.
async fn edges() -> [(&'static str, Target, Edge, Seen); 2] {
    let mut edges = Vec::new();
    for version in ["HTTP1", "HTTP2"] {
        let seen = Seen::default();
        let target = match version {
            "HTTP1" => target_of_http_1(Arc::clone(&seen)).await,
            _ => target_of_http_2(Arc::clone(&seen)).await,
        };
        let edge = Edge::start(&configuration(&target, version)).await;
        edges.push((version, target, edge, seen));
    }
    edges.try_into().ok().unwrap()
}

fn assert_seen(seen: &Seen, said: &str, context: &str) {
    let all = std::mem::take(&mut *seen.lock().unwrap());
    for one in &all {
        let expected = (said.to_owned(), BODY.to_owned(), fields("x-sum: 5"));
        assert_eq!(*one, expected, "{context}");
    }
    assert!(!all.is_empty(), "{context}");
}

#[tokio::test]
async fn trailers_pass_from_and_to_a_client_of_http_1_1() {
    for (version, target, edge, seen) in edges().await {
        let mut client = edge.connect().await;
        for _ in 0..3 {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, X-Hop\r\n\
                Trailer: X-Sum, Host\r\nTransfer-Encoding: chunked\r\n\r\n";
            client
                .send(format!("{head}5\r\n{BODY}\r\n0\r\n{FIELDS}\r\n"))
                .await;
            let head = client.head().await;
            assert_eq!(header(&head, "trailer"), Some("x-sum"), "{version}: {head}");
            let expected = (BODY.to_owned(), fields("x-sum: 7"));
            assert_eq!(chunks(&mut client).await, expected, "{version}");
        }
        assert_seen(&seen, "trailers x-sum", version);
        assert_eq!(target.connections(), 1, "{version}: kept");
    }
}

#[tokio::test]
async fn trailers_pass_from_and_to_a_client_of_http_2() {
    for (version, target, edge, seen) in edges().await {
        let mut client = Http2::connect(edge.address).await;
        for number in 0..3 {
            let request = Request::post("http://a.example/").header("te", "trailers");
            let request = request.header("trailer", "x-sum").body(()).unwrap();
            let (answer, mut sender) = client.send(request);
            sender.send_data(BODY.into(), false).unwrap();
            let trailers = FIELDS.replace("X-Hop: 1\r\n", "");
            sender.send_trailers(fields(&trailers)).unwrap();
            let answer = soon("an answer", answer).await.unwrap();
            assert_eq!(answer.headers()["trailer"], "x-sum", "{version}");
            let mut body = answer.into_body();
            assert_eq!(body_of(&mut body).await, BODY, "{version}");
            let trailers = body.trailers().await.unwrap().unwrap();
            assert_eq!(trailers, fields("x-sum: 7"), "{version}");
            edge.log_lines(number + 1).await;
        }
        assert_seen(&seen, "trailers x-sum", version);
        assert_eq!(target.connections(), 1, "{version}: kept");
    }
}

#[tokio::test]
async fn trailers_pass_behind_a_known_length_where_both_speak_http_2() {
    let seen = Seen::default();
    let target = target_of_http_2(Arc::clone(&seen)).await;
    let edge = Edge::start(&configuration(&target, "HTTP2")).await;
    let mut client = Http2::connect(edge.address).await;
    let request = Request::post("http://a.example/length").header("content-length", "5");
    let (answer, mut sender) = client.send(request.body(()).unwrap());
    sender.send_data(BODY.into(), false).unwrap();
    sender.send_trailers(fields("x-sum: 5")).unwrap();
    let answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "5");
    let mut body = answer.into_body();
    assert_eq!(body_of(&mut body).await, BODY);
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!(trailers, fields("x-sum: 7"));
    assert_seen(&seen, "- -", "length");
}

#[tokio::test]
async fn nothing_is_said_of_trailers_that_cannot_follow() {
    let seen = Seen::default();
    let target = target_of_http_2(Arc::clone(&seen)).await;
    let edge = Edge::start(&configuration(&target, "HTTP2")).await;
    let mut client = edge.connect().await;
    client.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.header("trailer"), answer.text()), (None, BODY));

    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection.send(ANSWER).await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::start(&configuration(&target, "HTTP1")).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let answer = client.answer_to_end().await;
    assert_eq!((answer.header("trailer"), answer.text()), (None, BODY));
}

#[tokio::test]
async fn trailers_go_again_where_the_request_does() {
    let (seen, was_asked) = (Seen::default(), Arc::<AtomicBool>::default());
    let noted = Arc::clone(&seen);
    let target = http2::target(move |request, mut answer| {
        let (seen, is_first) = (Arc::clone(&noted), !was_asked.swap(true, SeqCst));
        async move {
            match is_first {
                true => answer.send_reset(Reason::REFUSED_STREAM),
                false => answer_in_http_2(seen, request, answer).await,
            }
        }
    })
    .await;
    let edge = Edge::start(&configuration(&target, "HTTP2")).await;
    let mut client = edge.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client
        .send(format!("{head}5\r\n{BODY}\r\n0\r\nX-Sum: 5\r\n\r\n"))
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_seen(&seen, "- -", "again");
}

#[tokio::test]
async fn too_many_trailers_are_400_and_in_an_answer_its_end() {
    let many = "X-Sum: 5\r\n".repeat(101);
    let long = format!("X-Sum: {}\r\n", "5".repeat(17 << 10));
    for trailers in [many, long] {
        let seen = Seen::default();
        let target = target_of_http_1(Arc::clone(&seen)).await;
        let edge = Edge::start(&configuration(&target, "HTTP1")).await;
        let mut client = edge.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}0\r\n{trailers}\r\n")).await;
        assert_eq!(client.answer().await.status, 400);
        assert!(seen.lock().unwrap().is_empty());

        let end = trailers.clone();
        let target = Target::scripted(move |mut connection: Connection| {
            let end = end.clone();
            async move {
                connection.head().await;
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
                connection.send(format!("{head}0\r\n{end}\r\n")).await;
                connection.to_end().await;
            }
        })
        .await;
        let edge = Edge::start(&configuration(&target, "HTTP1")).await;
        let mut client = Http2::connect(edge.address).await;
        let (stream, head) = client.open(get("/")).await;
        assert!(head.status() == 502 || stream.into_result().await.is_err());
        assert_ne!(edge.log_line().await["closeReason"], "completed");
    }
}

#[tokio::test]
async fn what_the_operator_sets_or_removes_does_not_come_back_as_a_trailer() {
    let seen = Seen::default();
    let target = target_of_http_1(Arc::clone(&seen)).await;
    let changes = "headers: {
        request: {set: {X-Tenant: ours}, remove: [X-Secret]},
        response: {remove: [X-Sum]}}";
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration.http_rule(changes)).await;
    let mut client = edge.connect().await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Tenant: theirs\r\nx-secret: a\r\n\
             X-Request-Id: a\r\nX-Forwarded-For: a\r\nX-Client-Certificate-Verify: a\r\nSec-WebSocket-Key: a\r\nX-More: b\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    let (body, trailers) = chunks(&mut client).await;
    assert_eq!(
        (body.as_str(), trailers),
        (BODY, HeaderMap::new()),
        "{head}"
    );
    assert_eq!(seen.lock().unwrap()[0].2, fields("X-More: b\r\n"));
}
