//! Bodies of plain HTTP/1.1 go through as they come, whatever tells their end and whoever is
//! early.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::harness::client::header;
use crate::harness::target::ok;
use crate::harness::{Connection, Edge, Target, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

#[tokio::test]
async fn a_chunked_answer_is_streamed() {
    let seen = Arc::<Notify>::default();
    let was_seen = Arc::clone(&seen);
    let target = Target::scripted(move |mut connection: Connection| {
        let was_seen = Arc::clone(&was_seen);
        async move {
            connection.head().await;
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            connection.send(format!("{head}5\r\nfirst\r\n")).await;
            was_seen.notified().await;
            connection.send("6\r\nsecond\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    client.send(GET).await;
    client.head().await;
    assert_eq!(client.chunk().await, b"first");
    seen.notify_one();

    assert_eq!(client.chunk().await, b"second");
    assert_eq!(client.chunk().await, b"");
    assert_eq!(edge.log_line().await["responseBodyBytes"], 11);
}

#[tokio::test]
async fn an_answer_of_a_known_length_is_streamed() {
    let seen = Arc::<Notify>::default();
    let was_seen = Arc::clone(&seen);
    let target = Target::scripted(move |mut connection: Connection| {
        let was_seen = Arc::clone(&was_seen);
        async move {
            connection.head().await;
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n";
            connection.send(format!("{head}first")).await;
            was_seen.notified().await;
            connection.send("second").await;
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    client.send(GET).await;
    client.head().await;
    assert_eq!(client.exactly(5).await, b"first");
    seen.notify_one();

    assert_eq!(client.exactly(6).await, b"second");
}

#[tokio::test]
async fn a_chunked_request_is_streamed() {
    let seen = Arc::<Notify>::default();
    let sees = Arc::clone(&seen);
    let target = Target::scripted(move |mut connection: Connection| {
        let sees = Arc::clone(&sees);
        async move {
            let head = connection.head().await;
            assert_eq!(header(&head, "content-length"), None);
            let first = connection.chunk().await;
            sees.notify_one();
            let rest = connection.body(&head).await;
            let body = [first, rest].map(|part| String::from_utf8(part).unwrap());
            connection.send(ok(&body.join("+"))).await;
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}5\r\nfirst\r\n")).await;
    soon("the first chunk arrives", seen.notified()).await;
    client.send("6\r\nsecond\r\n0\r\n\r\n").await;

    assert_eq!(client.answer().await.text(), "first+second");
    assert_eq!(edge.log_line().await["requestBodyBytes"], 11);
}

#[tokio::test]
async fn a_body_of_ten_megabytes_arrives_whole_in_both_directions() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let body = connection.body(&head).await;
        let head = format!(
            "HTTP/1.1 200 OK\r\nX-Hash: {}\r\nContent-Length: {}\r\n\r\n",
            hash(&body),
            body.len()
        );
        connection.send(head).await;
        connection
            .send(body.iter().rev().copied().collect::<Vec<_>>())
            .await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut body: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = edge.connect().await;

    let length = body.len();
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(head).await;
    client.send(&body).await;
    let answer = client.answer().await;

    assert_eq!(answer.header("x-hash"), Some(&*hash(&body).to_string()));
    body.reverse();
    assert_eq!(hash(&answer.body), hash(&body));
    let line = edge.log_line().await;
    assert_eq!(line["requestBodyBytes"], length);
    assert_eq!(line["responseBodyBytes"], length);
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let target = Target::replying(
        |head, _| match head.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["HEAD", _] => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into(),
            [_, "/204"] => "HTTP/1.1 204 No Content\r\n\r\n".into(),
            [_, "/304"] => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".into(),
            _ => ok("hello"),
        },
    )
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    for (method, path, status) in [
        ("HEAD", "/", 200),
        ("GET", "/204", 204),
        ("GET", "/304", 304),
    ] {
        client
            .send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n{GET}"))
            .await;
        let answer = client.answer_without_body().await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("transfer-encoding"), None, "{method} {path}");
        let length = (method == "HEAD").then_some("5");
        assert_eq!(answer.header("content-length"), length, "{method} {path}");
        assert_eq!(
            client.answer().await.text(),
            "hello",
            "after {method} {path}"
        );
    }
    for line in edge.log_lines(6).await.iter().step_by(2) {
        assert_eq!(line["responseBodyBytes"], 0);
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_hears_it_from_the_target() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        assert_eq!(header(&head, "expect"), Some("100-continue"));
        connection.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = connection.body(&head).await;
        connection
            .send(ok(std::str::from_utf8(&body).unwrap()))
            .await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.answer_without_body().await.status, 100);
    client.send("body").await;

    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "body"));
    assert_eq!(edge.log_line().await["httpStatusCode"], 200);
}

#[tokio::test]
async fn a_client_that_expects_100_continue_may_be_refused_instead() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection
            .send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
            .await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.send(head).await;

    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (417, "no"));
    // The body may still come, or not: nothing but a close makes sure that the two sides agree.
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_body_without_chunks_that_ends_with_the_connection() {
    let target = Target::scripted(async |mut connection: Connection| {
        let answer = match connection.head().await {
            head if head.contains("/chunked") => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            }
            head if head.contains("/length") => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            head if head.contains("/informed") => {
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"
            }
            _ => "HTTP/1.1 200 OK\r\n\r\nhello",
        };
        connection.send(answer).await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;

    for path in ["/length", "/to-the-end", "/chunked", "/informed"] {
        let answer = edge.request(&format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{path}");
        assert_eq!(answer.header("transfer-encoding"), None, "{path}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
    }
    assert_eq!(edge.log_lines(4).await[0]["httpVersion"], "HTTP/1.0");
}

#[tokio::test]
async fn an_answer_that_ends_with_the_targets_connection_reaches_the_client_in_chunks() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    for _ in 0..2 {
        client.send(GET).await;
        let answer = client.answer().await;
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.text(), "hello");
    }
    for line in edge.log_lines(2).await {
        assert_eq!(line["closeReason"], "completed");
        assert_eq!(line["responseBodyBytes"], 5);
    }
}

#[tokio::test]
async fn an_answer_before_the_requests_body_is_complete_reaches_the_client() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection
            .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nabc")
        .await;

    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "big"));
    assert_eq!(answer.header("connection"), Some("close"));
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 413);
    assert_eq!(line["requestBodyBytes"], 3);
    assert_eq!(line["closeReason"], "completed");
    assert_eq!(line.get("error"), None);
}

#[tokio::test]
async fn an_early_answer_does_not_break_a_long_request_off() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection
            .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        .await;
    client.send(vec![b'x'; 10_000_000]).await;

    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "big"));
    assert_eq!(edge.log_line().await["closeReason"], "completed");
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n")
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
