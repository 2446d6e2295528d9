//! What becomes of a request whose connection to a target breaks: it is sent again where nothing
//! can be done twice, and only before an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::harness::client::{HANDSHAKE, header};
use crate::harness::target::{ok, refusing, switching_protocols};
use crate::harness::{Config, Connection, Edge, Target};

/// When a target breaks its connection off.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Break {
    /// Before it has read anything: with a reset.
    Unread,
    /// After the request's head, with a reset.
    Head,
    /// After the request's head, with a FIN.
    HeadFin,
    /// After half of the request's body.
    HalfBody,
    /// After the request.
    Request,
    /// After the first byte of its answer.
    FirstByte,
    /// After a head of 1xx.
    Herald,
    /// After its answer's head.
    AnswerHead,
}

const BODY: &str = "half+half";

/// Breaks a connection off.
async fn break_off(mut connection: Connection, when: Break) {
    if when == Break::Unread {
        return connection.reset();
    }
    let head = connection.head().await;
    match when {
        Break::Head => return connection.reset(),
        Break::HeadFin => return,
        Break::HalfBody => {
            connection.exactly(BODY.len() / 2).await;
            return connection.reset();
        }
        Break::Unread | Break::Request | Break::FirstByte | Break::Herald | Break::AnswerHead => {}
    }
    connection.body(&head).await;
    match when {
        Break::FirstByte => connection.send("H").await,
        Break::Herald => connection.send("HTTP/1.1 103 Early Hints\r\n\r\n").await,
        Break::AnswerHead => {
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
                .await
        }
        Break::Unread | Break::Head | Break::HeadFin | Break::HalfBody | Break::Request => {}
    }
    // A reset would take what was sent back.
    connection.finish().await;
}

/// Answers a request with its method and its body, and a handshake with a 101.
async fn serve(mut connection: Connection) {
    let head = connection.head().await;
    if header(&head, "upgrade").is_some() {
        connection.send(switching_protocols(&head)).await;
        return connection.echo().await;
    }
    let body = String::from_utf8(connection.body(&head).await).unwrap();
    let method = head.split(' ').next().unwrap();
    connection.send(ok(&format!("{method} {body}"))).await;
}

/// Targets of which the first ones that get a request break off, this many of them, and the others
/// serve.
async fn targets(count: usize, breaking: usize, when: Break) -> Vec<Target> {
    let begun = Arc::<AtomicUsize>::default();
    let mut targets = Vec::new();
    for _ in 0..count {
        let begun = Arc::clone(&begun);
        let target = Target::scripted(move |connection: Connection| {
            let is_broken = begun.fetch_add(1, SeqCst) < breaking;
            async move {
                match is_broken {
                    true => break_off(connection, when).await,
                    false => serve(connection).await,
                }
            }
        });
        targets.push(target.await);
    }
    targets
}

fn addresses(targets: &[Target]) -> Vec<SocketAddr> {
    targets.iter().map(|target| target.address).collect()
}

/// How many of the targets got a request, and how many requests they got together.
fn seen(targets: &[Target]) -> (usize, usize) {
    let counts = targets.iter().map(Target::connections);
    (
        counts.clone().filter(|count| *count > 0).count(),
        counts.sum(),
    )
}

fn request(method: &str, body: Option<&str>) -> String {
    let body = body.map_or("\r\n".to_owned(), |body| {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    });
    format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{body}")
}

#[tokio::test]
async fn a_request_is_sent_again_where_that_cannot_be_noticed() {
    use Break::*;
    let requests = [
        ("GET", None),
        ("OPTIONS", None),
        ("DELETE", None),
        ("PUT", Some("")),
        ("PUT", Some(BODY)),
        ("POST", None),
        ("POST", Some("")),
        ("POST", Some(BODY)),
        ("PATCH", None),
    ];
    for when in [
        Unread, Head, HeadFin, HalfBody, Request, FirstByte, Herald, AnswerHead,
    ] {
        let before_answer = !matches!(when, FirstByte | Herald | AnswerHead);
        for (method, body) in requests {
            if when == HalfBody && body != Some(BODY) {
                continue;
            }
            let targets = targets(3, 1, when).await;
            let edge = Edge::forwarding_to(&addresses(&targets)).await;

            let mut client = edge.connect().await;
            client.send(request(method, body)).await;
            let answer = String::from_utf8(client.to_end().await).unwrap();

            let what = format!("{method} {body:?} {when:?}: {answer}");
            let is_repeated = before_answer
                && !matches!(method, "POST" | "PATCH")
                && body.is_none_or(str::is_empty);
            let count = if is_repeated { 2 } else { 1 };
            assert_eq!(seen(&targets), (count, count), "{what}");
            let status = match when {
                AnswerHead => 200,
                _ if is_repeated => 200,
                _ => 502,
            };
            assert!(answer.contains(&format!("HTTP/1.1 {status} ")), "{what}");
            assert_eq!(answer.contains(" 103 "), when == Herald, "{what}");
            let served = format!("\r\n\r\n{method} ");
            assert_eq!(answer.ends_with(&served), is_repeated, "{what}");
            let line = edge.log_line().await;
            assert_eq!(line["httpStatusCode"], status, "{what}");
            assert_eq!(line["error"].is_string(), !is_repeated, "{what}");
        }
    }
}

#[tokio::test]
async fn a_handshake_is_tried_on_another_target_until_a_byte_of_an_answer_has_come() {
    use Break::*;
    for (when, status) in [
        (Unread, 101),
        (Head, 101),
        (HeadFin, 101),
        (FirstByte, 502),
        (Herald, 502),
    ] {
        let targets = targets(2, 1, when).await;
        let edge = Edge::forwarding_to(&addresses(&targets)).await;
        let mut client = edge.connect().await;

        // What comes before the 101 belongs to the tunnel, whoever opens it.
        client.send(format!("{HANDSHAKE}early ")).await;
        let mut head = client.head().await;
        if when == Herald {
            assert!(head.contains(" 103 "), "{head}");
            head = client.head().await;
        }

        assert!(head.contains(&format!(" {status} ")), "{when:?}: {head}");
        let count = if status == 101 { 2 } else { 1 };
        assert_eq!(seen(&targets), (count, count), "{when:?}");
        if status == 101 {
            client.send("late").await;
            assert_eq!(client.exactly(10).await, b"early late");
            client.finish().await;
            let line = edge.log_line().await;
            let opened = line["target"].as_str().unwrap();
            assert_eq!(
                (line["httpStatusCode"].as_u64(), line.get("error")),
                (Some(101), None)
            );
            let opener = "tunnels_opened_total{forwarding_rule=\"edge\",target=\"TARGET\",target_group=\"group\"}";
            edge.metric_becomes(&opener.replace("TARGET", opened), 1.0)
                .await;
        }
    }
}

#[tokio::test]
async fn breaks_and_failed_connects_count_as_tries_together() {
    for (retries, tries) in [(0, 1), (1, 2), (2, 3), (9, 4)] {
        let targets = targets(4, 9, Break::Head).await;
        let check = format!("healthCheck: {{retries: {retries}}}");
        let edge = Config::forwarding_to(&addresses(&targets)).group(&check);
        let edge = Edge::start(&edge).await;

        let answer = edge.get("/").await;

        assert_eq!((answer.status, seen(&targets)), (502, (tries, tries)));
        let line = edge.log_line().await;
        let error = line["error"].as_str().unwrap();
        let last = line["target"].as_str().unwrap();
        assert!(error.starts_with(&format!("target {last}: ")), "{error}");
        assert_eq!(line["closeReason"], "refused");
    }
    let targets = targets(1, 9, Break::Head).await;
    let both = [targets[0].address, refusing()];
    let check = "healthCheck: {unhealthyThreshold: 100, healthyThreshold: 1, retries: 1}";
    let edge = Config::forwarding_to(&both).group(check);
    let edge = Edge::start(&edge).await;
    for count in 1..=4 {
        let answer = edge.get("/").await;
        assert!([502, 503].contains(&answer.status), "{}", answer.status);
        assert_eq!(
            seen(&targets).1,
            count,
            "the target that accepts is tried once a request"
        );
    }
}

/// A target that serves one request on each connection, and breaks it off when the next one's head
/// is there.
async fn forgetful() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let body = String::from_utf8(connection.body(&head).await).unwrap();
        connection.send(ok(&body)).await;
        connection.head().await;
        connection.reset();
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_is_dead_costs_no_try() {
    for (method, body, status) in [
        ("GET", "", 200),
        ("PUT", "0123456789", 200),
        ("POST", "", 502),
        ("POST", "0123456789", 502),
    ] {
        let target = forgetful().await;
        let keys = "maxRequestBodyBytes: 15";
        let edge = Config::forwarding_to(&[target.address])
            .group("healthCheck: {retries: 0}")
            .rule(keys);
        let edge = Edge::start(&edge).await;
        assert_eq!(edge.get("/").await.status, 200);

        let answer = edge.request(&request(method, Some(body))).await;

        assert_eq!(answer.status, status, "{method} {body}");
        if status == 200 {
            assert_eq!(answer.text(), body);
        }
        let requests: Vec<_> = target
            .heads()
            .iter()
            .map(|head| head.starts_with(method))
            .collect();
        let expected = if status == 200 { 3 } else { 2 };
        assert_eq!(requests.len(), expected, "{method} {body}");
        assert_eq!(target.connections(), expected - 1, "{method} {body}");
    }
}
