//! How long Culvert waits for a client: `clientTimeout`, for a head as a whole, for each step of a
//! body, and for the next request.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

const LIMIT: Duration = Duration::from_secs(1);
/// Long enough for a slow machine, and too short for any other timeout.
const LATEST: Duration = Duration::from_secs(10);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_the_limit_in_total() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(50));
    let (began, mut sent) = (Instant::now(), 0);
    for byte in head.bytes() {
        client.send([byte]).await;
        sent += 1;
        let is_answered = timeout(LIMIT / 10, client.has_more()).await;
        if is_answered.is_ok() {
            break;
        }
    }
    let answer = client.answer_to_end().await;

    assert_within(began.elapsed(), LIMIT);
    assert_eq!(answer.status, 408, "after {sent} of {} bytes", head.len());
    assert_eq!(answer.header("connection"), Some("close"));
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 408);
    assert_eq!(line["closeReason"], "refused");
    let read = line["requestHeaderBytes"].as_u64().unwrap();
    assert!(read > 0 && read <= sent, "{read} of {sent}");
    assert_eq!(line["responseHeaderBytes"], answer.head.len());
    let error = "the request's head did not arrive within clientTimeout";
    assert_eq!(line["error"], error);
    edge.refused("client_timeout", 1).await;
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_without_a_word_and_leaves_no_line() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    let began = Instant::now();
    let mut client = edge.connect().await;

    assert_eq!(client.to_end().await, b"");

    assert_within(began.elapsed(), LIMIT);
    assert_eq!(edge.get("/the-only-one").await.status, 200);
    assert_eq!(edge.log_line().await["requestUri"], "/the-only-one");
    assert_eq!(edge.refusals("client_timeout"), 0.0);
}

#[tokio::test]
async fn a_body_that_stalls_is_a_408() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    for (place, head) in ["Content-Length: 10", "Transfer-Encoding: chunked"]
        .iter()
        .enumerate()
    {
        let mut client = edge.connect().await;
        let began = Instant::now();
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n5\r\nhel"
            ))
            .await;
        let answer = client.answer_to_end().await;

        assert_within(began.elapsed(), LIMIT);
        assert_eq!(
            (answer.status, answer.header("connection")),
            (408, Some("close"))
        );
        let text = "408 the request's body did not arrive within clientTimeout\n";
        assert_eq!(answer.text(), text);
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 408, "{head}");
        assert_eq!(line["closeReason"], "refused");
        assert!(
            line["requestBodyBytes"]
                .as_u64()
                .is_some_and(|bytes| bytes > 0)
        );
    }
    edge.refused("client_timeout", 2).await;
}

#[tokio::test]
async fn a_body_that_makes_progress_may_take_longer() {
    let target = Target::showing().await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    let began = Instant::now();

    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n")
        .await;
    for byte in b"progress" {
        sleep(LIMIT / 4).await;
        client.send([*byte; 1000]).await;
    }
    let answer = client.answer().await;

    assert!(began.elapsed() > LIMIT);
    assert_eq!(answer.status, 200);
    assert!(answer.text().ends_with(&"s".repeat(1000)));
}

#[tokio::test]
async fn the_response_timeout_waits_for_the_request_to_be_complete() {
    let target = Target::showing().await;
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration.group("responseTimeout: 200")).await;
    let mut client = edge.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nsl")
        .await;
    sleep(LIMIT).await;
    client.send("ow").await;

    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_kept_connection_that_stays_idle_is_closed_without_a_line() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    for _ in 0..2 {
        client.send(GET).await;
        client.answer().await;
        sleep(LIMIT / 2).await;
    }
    let began = Instant::now();
    client.send(GET).await;
    client.answer().await;

    assert_eq!(client.to_end().await, b"");

    assert_within(began.elapsed(), LIMIT);
    for line in edge.log_lines(3).await {
        assert_eq!(line["closeReason"], "completed");
    }
    edge.get("/the-fourth").await;
    assert_eq!(edge.log_lines(4).await[3]["requestUri"], "/the-fourth");
}

#[tokio::test]
async fn the_wait_for_the_next_request_begins_anew_however_long_the_last_took() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        sleep(LIMIT * 3 / 2).await;
        connection.send(ok("hello")).await;
    })
    .await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    let began = Instant::now();
    // In two parts: the clock of a head runs from its first byte.
    client.send(&GET[..10]).await;
    sleep(LIMIT / 4).await;
    client.send(&GET[10..]).await;
    assert_eq!(client.answer().await.text(), "hello");

    assert_eq!(client.to_end().await, b"");

    assert_within(began.elapsed(), LIMIT * 5 / 2);
}

#[tokio::test]
async fn the_next_head_that_stalls_is_a_408_too() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    client.send(GET).await;
    client.answer().await;
    sleep(LIMIT / 2).await;
    let began = Instant::now();
    client.send("GET /second HT").await;

    assert_eq!(client.answer_to_end().await.status, 408);

    assert_within(began.elapsed(), LIMIT);
    assert_eq!(edge.log_lines(2).await[1]["httpStatusCode"], 408);
}

#[tokio::test]
async fn a_head_that_begins_behind_another_request_and_stalls_is_a_408_too() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    let began = Instant::now();
    client.send(format!("{GET}GET /second HT")).await;
    client.answer().await;

    assert_eq!(client.answer_to_end().await.status, 408);

    assert_within(began.elapsed(), LIMIT);
    let line = edge.log_lines(2).await.remove(1);
    assert_eq!(line["httpStatusCode"], 408);
    assert_eq!(line["requestHeaderBytes"], "GET /second HT".len());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_let_go() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let length = 100_000_000;
        connection
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        // Culvert takes what fits on the way, and breaks the rest off.
        while connection.stream.writable().await.is_ok() {
            match connection.stream.try_write(&[0; 65536]) {
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    })
    .await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    let began = Instant::now();
    client.send(GET).await;
    client.head().await;

    let line = soon("the line", edge.log_line()).await;

    assert_within(began.elapsed(), LIMIT);
    assert_eq!(line["httpStatusCode"], 200);
    assert_eq!(line["closeReason"], "client_error");
}

async fn start(target: &Target) -> Edge {
    let configuration = Config::forwarding_to(&[target.address]);
    let limit = format!("clientTimeout: {}", LIMIT.as_millis());
    Edge::start(&configuration.rule(&limit)).await
}

fn assert_within(took: Duration, limit: Duration) {
    assert!(
        took >= limit && took < LATEST,
        "after {took:?} instead of {limit:?}"
    );
}

#[tokio::test]
async fn a_client_that_never_reads_its_answers_is_let_go() {
    let location = "x".repeat(8_000);
    let configuration = Config::new()
        .rule("clientTimeout: 400")
        .http_rules(&format!(
            "{{name: away, type: REDIRECT, location: {location}}}"
        ));
    let edge = Edge::start(&configuration).await;
    let mut client = edge.connect().await;
    let asking = tokio::spawn(async move {
        client.send(GET.repeat(10_000)).await;
        std::future::pending::<()>().await
    });
    eventually("the answers no longer fit", || {
        (edge.log().len() > 10).then_some(())
    })
    .await;

    let reason = eventually("the connection ends", || {
        let reasons = edge
            .log()
            .into_iter()
            .map(|line| line["closeReason"].to_string());
        reasons
            .into_iter()
            .find(|reason| !reason.contains("completed"))
    })
    .await;

    assert_eq!(reason, "\"client_error\"");
    eventually("it is closed", || {
        let open = edge.metric("connections_active{forwarding_rule=\"edge\"}");
        (open == 0.0).then_some(())
    })
    .await;
    asking.abort();
}
