//! Plain HTTP/1.1 goes through as users of a reverse proxy expect.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::harness::client::header;
use crate::harness::target::ok;
use crate::harness::{Connection, Edge, Target, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_each_leaves_a_line() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    for path in ["/first", "/second"] {
        client.send(get(path)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }

    let lines = edge.log_lines(2).await;
    assert_eq!(lines[0]["requestUri"], "/first");
    assert_eq!(lines[1]["requestUri"], "/second");
    assert_eq!(lines[0]["clientPort"], lines[1]["clientPort"]);
    assert_ne!(lines[0]["trackingId"], lines[1]["trackingId"]);
}

#[tokio::test]
async fn a_client_that_asks_for_a_close_gets_it() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;

    let answer = client.answer().await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.to_end().await, b"");
}

#[tokio::test]
async fn three_requests_in_one_packet_are_answered_in_order_and_leave_three_lines() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    let post = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    client.send(get("/first") + post + &get("/third")).await;

    for line in ["GET /first ", "POST /second ", "GET /third "] {
        let answer = client.answer().await;
        assert!(answer.text().starts_with(line), "{}", answer.text());
        assert_eq!(answer.text().ends_with("body"), line.starts_with("POST"));
    }
    let lines = edge.log_lines(3).await;
    let uris: Vec<_> = lines.iter().map(|line| &line["requestUri"]).collect();
    assert_eq!(uris, ["/first", "/second", "/third"]);
    assert_eq!(lines[2]["requestHeaderBytes"], get("/third").len());
}

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
async fn an_http_1_0_client_may_ask_for_the_connection_to_be_kept() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    for _ in 0..2 {
        client
            .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.header("connection"), Some("keep-alive"));
        assert_eq!(answer.text(), "hello");
    }
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
async fn the_connection_to_the_target_is_used_for_the_next_request() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for request in 1..=5 {
        assert_eq!(edge.get("/").await.status, 200);
        let lines = edge.log_lines(request).await;
        let is_new = lines[request - 1].get("targetConnectMs").is_some();
        assert_eq!(is_new, request == 1, "request {request}");
    }
    assert_eq!(target.connections(), 1);
}

/// A target that closes each connection once: when it gets the second request on it, or right after
/// the first answer.
async fn forgetful_target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection.body(&head).await;
        connection.send(ok("hello")).await;
        if head.contains("/close-later") {
            connection.head().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_the_target_closed_does_not_fail_the_next_get() {
    let target = forgetful_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for (place, path) in ["/close-now", "/close-later"].repeat(5).iter().enumerate() {
        let answer = edge.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["closeReason"], "completed");
        assert_eq!(line.get("error"), None);
    }
}

#[tokio::test]
async fn a_post_is_not_sent_twice() {
    let target = forgetful_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let post =
        "POST /close-later HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1";
    assert_eq!(edge.request(post).await.status, 200);
    edge.log_lines(1).await;

    let answer = edge.request(post).await;

    assert_eq!(answer.status, 502);
    assert_eq!(target.connections(), 1);
    assert_eq!(edge.log_lines(2).await[1]["closeReason"], "refused");
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

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n")
}

/// The values of all headers of this name.
fn headers<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
