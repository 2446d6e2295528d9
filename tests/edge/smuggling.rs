//! Requests that two readers might take for different ones: what the client gets, and what the
//! target may see. Whatever came before, the next request on a connection reaches the target as it
//! was sent.

mod rows;

use std::sync::{Arc, Mutex};

use crate::harness::client::{HANDSHAKE, handshake, header, status};
use crate::harness::target::{ok, switching_protocols};
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};
use rows::Fate::{self, Last, Refused, Served};
use rows::{chunked_bodies, codings, lengths, line, lines, long, targets};

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: good\r\n\r\n";

type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A target that notes the whole requests that it sees.
async fn noting() -> (Target, Seen) {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    let target = Target::replying(move |head, body| {
        let body = String::from_utf8_lossy(body).into_owned();
        notes.lock().unwrap().push((head.to_owned(), body));
        ok("ok")
    });
    (target.await, seen)
}

async fn assert_fates(rows: Vec<(Vec<u8>, Fate)>) {
    let (target, seen) = noting().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut wrong = Vec::new();
    for (request, fate) in rows {
        let outcome = fate_of(&edge, &seen, &request, &fate).await;
        let request = &request[..request.len().min(200)];
        wrong.extend(
            outcome
                .err()
                .map(|what| format!("{}: {what}", request.escape_ascii())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Sends a request and, if the connection stays, a good one after it. The error is what is not as
/// it should be.
async fn fate_of(edge: &Edge, seen: &Seen, request: &[u8], fate: &Fate) -> Result<(), String> {
    let mut client = edge.connect().await;
    client.send(request).await;
    let answer = client.answer().await;
    let requests = std::mem::take(&mut *seen.lock().unwrap());
    let (expected, stays) = match fate {
        Refused(code) => (*code, false),
        Served(..) => (200, true),
        Last(..) => (200, false),
    };
    check(answer.status == expected, || {
        format!("{} instead of {expected}", answer.status)
    })?;
    match (fate, &requests[..]) {
        (Refused(_), []) => {}
        (Served(line, body) | Last(line, body), [(head, sent)]) => {
            check(head.lines().next() == Some(line) && sent == body, || {
                format!("{head}{sent}")
            })?;
            check_head(head)?;
        }
        _ => return Err(format!("the target saw {requests:?}")),
    }
    if !stays {
        return check(client.to_end().await.is_empty(), || {
            "more than one answer".into()
        });
    }
    client.send(GOOD).await;
    let status = client.answer().await.status;
    let next = std::mem::take(&mut *seen.lock().unwrap());
    let is_good = matches!(&next[..], [(head, body)] if head.starts_with("GET /good HTTP/1.1\r\nHost: good\r\n") && body.is_empty());
    check(status == 200 && is_good, || {
        format!("then {status}, and the target saw {next:?}")
    })
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    holds.then_some(()).ok_or_else(otherwise)
}

/// What holds for every head that reaches a target.
fn check_head(head: &str) -> Result<(), String> {
    let count = |name: &str| {
        let names = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        names
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .count()
    };
    let has_one_frame = count("content-length") + count("transfer-encoding") <= 1;
    let is_ours = header(head, "x-forwarded-for") == Some("127.0.0.1")
        && header(head, "x-forwarded-proto") == Some("http")
        && header(head, "x-request-id").is_some_and(|id| id.len() == 32);
    let ours = ["x-forwarded-for", "x-forwarded-proto", "x-request-id"];
    let is_once = ours.into_iter().all(|name| count(name) == 1) && count("host") <= 1;
    let names = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let is_clean = names.into_iter().all(|(name, _)| {
        let name = name.to_ascii_lowercase();
        !name.contains('_')
            && !["forwarded", "upgrade", "http2-settings", "x-secret"].contains(&&*name)
    });
    check(has_one_frame && is_ours && is_once && is_clean, || {
        format!("a head that should not be: {head}")
    })
}

#[tokio::test]
async fn a_body_has_one_length() {
    assert_fates(lengths()).await;
}

#[tokio::test]
async fn a_body_has_one_coding() {
    assert_fates(codings()).await;
}

#[tokio::test]
async fn chunks_are_read_to_the_letter_and_written_anew() {
    assert_fates(chunked_bodies()).await;
}

#[tokio::test]
async fn a_request_is_for_one_host_and_one_target() {
    assert_fates(targets()).await;
}

#[tokio::test]
async fn a_header_is_one_line_and_cannot_pass_for_one_of_ours() {
    assert_fates(lines()).await;
}

#[tokio::test]
async fn what_is_malformed_is_counted_and_logged() {
    let (target, _seen) = noting().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for request in [
        long("2, 2"),
        line("GET /a b HTTP/1.1"),
        line("GET / HTTP/1.2"),
    ] {
        let mut client = edge.connect().await;
        client.send(request).await;
        assert_eq!(client.answer_to_end().await.status, 400);
    }
    for line in edge.log_lines(3).await {
        assert_eq!(
            (&line["httpStatusCode"], &line["closeReason"]),
            (&400.into(), &"refused".into())
        );
    }
    let counted = || edge.refusals("bad_request");
    eventually("they are counted", || (counted() == 3.0).then_some(())).await;
}

#[tokio::test]
async fn the_preface_of_http_2_is_no_request_of_http_1() {
    let (target, seen) = noting().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.finish().await;
    client.to_end().await;
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_upgrade_passes_no_rule_and_no_limit_by() {
    let (target, seen) = noting().await;
    let rule = "{name: no, type: STATIC, statusCode: 451, responseMessage: no,
        conditions: [{type: PATH, condition: STARTS_WITH, value: /chat}]}";
    let configuration = Config::forwarding_to(&[target.address])
        .rule("maxRequestsPerSecondPerClient: 5")
        .http_rules(rule);
    let edge = Edge::start(&configuration).await;
    let h2c = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut client = edge.connect().await;
    for request in [HANDSHAKE, h2c] {
        client.send(request).await;
        assert_eq!(client.answer().await.status, 451, "{request}");
    }
    soon("a request too many", async {
        loop {
            client.send(HANDSHAKE).await;
            match client.answer().await.status {
                429 => break,
                status => assert_eq!(status, 451),
            }
        }
    })
    .await;
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bytes_behind_a_handshake_are_the_next_request_if_it_is_declined_and_the_tunnels_if_not() {
    let target = Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            if head.starts_with("GET /yes ") {
                connection.send(switching_protocols(&head)).await;
                return connection.echo().await;
            }
            let status = if head.starts_with("GET /no ") {
                "403 Forbidden"
            } else {
                "200 OK"
            };
            connection
                .send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"))
                .await;
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;

    let mut declined = edge.connect().await;
    declined.send(handshake("/no", "") + GOOD).await;
    assert_eq!(declined.answer().await.status, 403);
    assert_eq!(declined.answer().await.status, 200);
    let heads = target.heads();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[1].starts_with("GET /good HTTP/1.1\r\nHost: good\r\n"),
        "{heads:?}"
    );

    let mut accepted = edge.connect().await;
    accepted.send(handshake("/yes", "") + GOOD).await;
    assert_eq!(status(&accepted.head().await), 101);
    assert_eq!(accepted.exactly(GOOD.len()).await, GOOD.as_bytes());
    assert_eq!(target.heads().len(), 3);
}
