//! Where one request ends and the next begins: however a message is framed by its client, what
//! arrives at a target is a sequence of whole, valid requests, or the connection is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::http2::Http2;
use crate::harness::{Config, Connection, Edge, Target, soon};

/// How a client frames one request, and how its target behaves.
#[derive(Debug, Clone)]
struct Case {
    is_http2: bool,
    method: &'static str,
    has_length: bool,
    parts: Vec<usize>,
    end: End,
    /// The request is given up after so many parts.
    cut: Option<usize>,
    target: &'static str,
}

/// What comes after the last part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In HTTP/2 the last part has END_STREAM.
    WithTheLast,
    /// In HTTP/2 an empty DATA frame has it.
    Empty,
    Trailers,
}

fn cases() -> impl Strategy<Value = Case> {
    let parts = prop::collection::vec(prop_oneof![Just(0), 1..20_usize, Just(20_000)], 0..5);
    let end = prop_oneof![
        Just(End::WithTheLast),
        Just(End::Empty),
        Just(End::Trailers)
    ];
    let target = prop::sample::select(vec!["plain", "plain", "hints", "early", "refusing"]);
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]);
    let cut = prop::option::weighted(0.2, 0..5_usize);
    (
        any::<bool>(),
        method,
        any::<bool>(),
        parts,
        end,
        cut,
        target,
    )
        .prop_map(
            |(is_http2, method, has_length, parts, end, cut, target)| Case {
                is_http2,
                method,
                has_length,
                parts,
                end,
                cut,
                target,
            },
        )
}

impl Case {
    fn length(&self) -> usize {
        self.parts.iter().sum()
    }

    /// Whether all of it reaches the target, and the answer the client.
    fn is_whole(&self) -> bool {
        self.cut.is_none() && matches!(self.target, "plain" | "hints")
    }

    async fn send(&self, edge: &Edge, number: usize) -> Option<u16> {
        match self.is_http2 {
            true => self.send_http2(edge, number).await,
            false => self.send_http1(edge, number).await,
        }
    }

    async fn send_http1(&self, edge: &Edge, number: usize) -> Option<u16> {
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        let framing = match self.has_length {
            true => format!("Content-Length: {}", self.length()),
            false => "Transfer-Encoding: chunked".to_owned(),
        };
        let (method, target) = (self.method, self.target);
        let head = format!("{method} /{number}/{target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        for (place, size) in self.parts.iter().enumerate() {
            if self.cut == Some(place) {
                return None;
            }
            let part = "x".repeat(*size);
            let part = match self.has_length {
                true => part,
                false if part.is_empty() => continue,
                false => format!("{size:x};a=\"b\"\r\n{part}\r\n"),
            };
            // The connection may be closed after an early answer.
            client.write_all(part.as_bytes()).await.ok()?;
        }
        let last = match (self.has_length, self.end) {
            (true, _) => "",
            (false, End::Trailers) => "0\r\nX-Trailer: y\r\n\r\n",
            (false, End::WithTheLast | End::Empty) => "0\r\n\r\n",
        };
        client.write_all(last.as_bytes()).await.ok()?;
        let mut client = Connection::from(client);
        let mut status = 100;
        while (100..200).contains(&status) {
            status = client.answer_without_body().await.status;
        }
        Some(status)
    }

    async fn send_http2(&self, edge: &Edge, number: usize) -> Option<u16> {
        let mut client = Http2::connect(edge.address).await;
        let uri = format!("http://a.example/{number}/{}", self.target);
        let mut request = Request::builder().method(self.method).uri(uri);
        if self.has_length {
            request = request.header("content-length", self.length());
        }
        let (answer, mut sender) = client.send(request.body(()).unwrap());
        let last = self.parts.len().saturating_sub(1);
        for (place, size) in self.parts.iter().enumerate() {
            if self.cut == Some(place) {
                sender.send_reset(h2::Reason::CANCEL);
                return None;
            }
            let ends = self.end == End::WithTheLast && place == last;
            // The stream may be reset after an early answer.
            sender.send_data(vec![b'x'; *size].into(), ends).ok()?;
        }
        match self.end {
            End::WithTheLast if !self.parts.is_empty() => {}
            End::WithTheLast | End::Empty => sender.send_data(Vec::new().into(), true).ok()?,
            End::Trailers => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", "y".parse().unwrap());
                sender.send_trailers(trailers).ok()?;
            }
        }
        let answer = soon("an answer", answer).await.ok()?;
        Some(answer.status().as_u16())
    }
}

/// All that came on each connection.
type Tape = Arc<Mutex<Vec<Vec<u8>>>>;

/// A target that takes requests to the letter and records what came. The path says how it answers.
async fn recording(tape: Tape) -> Target {
    Target::scripted(move |connection: Connection| {
        let tape = Arc::clone(&tape);
        async move {
            let (mut stream, mut read) = connection.into_parts();
            let place = {
                let mut tape = tape.lock().unwrap();
                tape.push(Vec::new());
                tape.len() - 1
            };
            let mut answered = 0;
            loop {
                tape.lock().unwrap()[place] = read.clone();
                answered = answer(&mut stream, &read, answered).await?;
                if stream.read_buf(&mut read).await.ok()? == 0 {
                    return None;
                }
            }
        }
        .map(|_: Option<()>| ())
    })
    .await
}

/// Answers as many of the requests as should be by now; tells how many heads have been dealt with,
/// doubled, and one more where the request behind the last has yet to be complete.
pub async fn answer(stream: &mut TcpStream, read: &[u8], answered: usize) -> Option<usize> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let requests = requests(read).ok()?;
    let mut done = answered;
    for (number, request) in requests.iter().enumerate() {
        let (begun, over) = (2 * number + 1, 2 * number + 2);
        if done < begun {
            done = begun;
            match request.target() {
                "hints" => stream
                    .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                    .await
                    .ok()?,
                "early" => stream.write_all(OK).await.ok()?,
                "refusing" => {
                    // Where the whole request is there, the connection would be kept.
                    let last = match request.body {
                        Some(_) => "Connection: close\r\n",
                        None => "",
                    };
                    let refusal =
                        format!("HTTP/1.1 413 Too Large\r\n{last}Content-Length: 0\r\n\r\n");
                    stream.write_all(refusal.as_bytes()).await.ok()?;
                    return None;
                }
                _ => {}
            }
        }
        if done < over && request.body.is_some() {
            done = over;
            if request.target() != "early" {
                stream.write_all(OK).await.ok()?;
            }
        }
    }
    Some(done)
}

/// A request, with its body if that is complete.
#[derive(Debug)]
pub struct Received {
    pub head: String,
    pub body: Option<Vec<u8>>,
}

impl Received {
    pub fn path(&self) -> Vec<&str> {
        self.head
            .split(' ')
            .nth(1)
            .unwrap_or("")
            .split('/')
            .collect()
    }

    pub fn number(&self) -> usize {
        self.path()[1].parse().unwrap()
    }

    pub fn target(&self) -> &str {
        self.path().get(2).copied().unwrap_or("")
    }
}

/// The requests in what came on a connection, the last of which may be incomplete. The error is
/// what is no request.
pub fn requests(mut bytes: &[u8]) -> Result<Vec<Received>, String> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let is_request = head.lines().next().is_some_and(|line| {
            line.ends_with(" HTTP/1.1")
                && line.starts_with(|letter: char| letter.is_ascii_uppercase())
        });
        if !is_request {
            return Err(format!("no request: {head:?}"));
        }
        let body = body(&head, &mut bytes)?;
        let is_over = body.is_some();
        all.push(Received { head, body });
        if !is_over {
            return Ok(all);
        }
    }
    match bytes.first() {
        Some(first) if !first.is_ascii_uppercase() => Err(format!(
            "no request: {:?}",
            bytes.escape_ascii().to_string()
        )),
        _ => Ok(all),
    }
}

pub fn body(head: &str, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, String> {
    let field = |name: &str| crate::harness::client::header(head, name);
    let take = |bytes: &mut &[u8], count: usize| {
        let (taken, rest) = bytes.split_at_checked(count)?;
        *bytes = rest;
        Some(taken.to_vec())
    };
    match (field("content-length"), field("transfer-encoding")) {
        (None, None) => Ok(Some(Vec::new())),
        (Some(length), None) => Ok(take(bytes, length.parse().unwrap())),
        (None, Some("chunked")) => {
            let mut body = Vec::new();
            while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
                let size = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let size =
                    usize::from_str_radix(&size, 16).map_err(|_| format!("no size: {size:?}"))?;
                if size == 0 {
                    // Trailers may come before the empty line.
                    let last = bytes.windows(4).position(|four| four == b"\r\n\r\n");
                    return Ok(last.and_then(|last| take(bytes, last + 4)).map(|_| body));
                }
                let Some(chunk) = bytes.get(end + 2..end + 4 + size) else {
                    return Ok(None);
                };
                let (data, line) = chunk.split_at(size);
                if line != b"\r\n" {
                    return Err(format!(
                        "no end of a chunk: {:?}",
                        line.escape_ascii().to_string()
                    ));
                }
                body.extend_from_slice(data);
                *bytes = &bytes[end + 4 + size..];
            }
            Ok(None)
        }
        both => Err(format!("two framings: {both:?}")),
    }
}

#[test]
fn a_target_gets_whole_requests_however_they_are_framed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tape = Tape::default();
    let (_target, edge) = runtime.block_on(async {
        let target = recording(Arc::clone(&tape)).await;
        let configuration = Config::forwarding_to(&[target.address])
            .rule("h2c: true")
            .each_target("healthCheckEnabled: false");
        (target, Edge::start(&configuration).await)
    });
    let sent = Mutex::new(Vec::new());
    let config = Cases {
        cases: 120,
        failure_persistence: None,
        ..Cases::default()
    };
    let checked = TestRunner::new(config).run(&cases(), |case| {
        let number = sent.lock().unwrap().len();
        sent.lock().unwrap().push(case.clone());
        let status = runtime.block_on(case.send(&edge, number));
        if case.is_whole() {
            prop_assert_eq!(status, Some(200), "{:?}", edge.log().last());
        }
        Ok(())
    });
    checked.unwrap();
    let sent = sent.into_inner().unwrap();
    let mut received = HashMap::new();
    for bytes in tape.lock().unwrap().iter() {
        for request in requests(bytes).expect("a sequence of requests") {
            received.insert(request.number(), request);
        }
    }
    for (number, case) in sent.iter().enumerate().filter(|(_, case)| case.is_whole()) {
        let body = received
            .get(&number)
            .and_then(|request| request.body.as_ref());
        assert_eq!(body.map(Vec::len), Some(case.length()), "{case:?}");
    }
    // Connections are used again: one after the other makes no request of two.
    let whole = sent.iter().filter(|case| case.is_whole()).count();
    assert!(
        tape.lock().unwrap().len() < sent.len().max(whole),
        "no connection was used again"
    );
}

/// Without what would come between the requests.
#[tokio::test]
async fn an_end_on_an_empty_frame_is_one_last_chunk() {
    let tape = Tape::default();
    let target = recording(Arc::clone(&tape)).await;
    let configuration = Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .each_target("healthCheckEnabled: false");
    let edge = Edge::start(&configuration).await;
    let mut client = Http2::connect(edge.address).await;
    for (number, (method, parts)) in [
        (Method::POST, &["hello", ""][..]),
        (Method::GET, &[""]),
        (Method::POST, &["", "a", "", "b", ""]),
    ]
    .into_iter()
    .enumerate()
    {
        let uri = format!("http://a.example/{number}/plain");
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let (answer, mut sender) = client.send(request);
        for (place, part) in parts.iter().enumerate() {
            let ends = place + 1 == parts.len();
            sender.send_data((*part).into(), ends).unwrap();
        }
        assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
    }
    let bytes = tape.lock().unwrap().concat();
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.matches("\r\n0\r\n\r\n").count(), 3, "{text}");
}
