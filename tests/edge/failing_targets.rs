//! What a target does wrong, once it is connected, costs as little as possible and is told truly.

use std::time::{Duration, Instant};

use crate::harness::target::{ok, refusing};
use crate::harness::{Connection, Edge, Target, eventually};
use crate::targets::{UNCHECKED, group};

/// A target that does what a request's path says, wrong.
async fn failing_target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        match head.split(' ').nth(1).unwrap() {
            "/reset" => connection.reset(),
            "/close" => {}
            "/garbage" => connection.send("SSH-2.0-OpenSSH_9.6\r\n\r\n").await,
            "/half-a-head" => connection.send("HTTP/1.1 200 OK\r\nContent-").await,
            "/bad-length" => {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
                    .await
            }
            "/short" => {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
                    .await
            }
            "/short-chunk" => connection.send(format!("{CHUNKED}9\r\nhello")).await,
            "/no-last-chunk" => connection.send(format!("{CHUNKED}5\r\nhello\r\n")).await,
            "/stall" => _ = connection.to_end().await,
            "/stall-in-body" => {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
                    .await;
                connection.to_end().await;
            }
            _ => connection.send(ok("hello")).await,
        }
    })
    .await
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_target_that_breaks_off_or_talks_nonsense_before_an_answer_is_a_502() {
    let target = failing_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let paths = [
        "/reset",
        "/close",
        "/garbage",
        "/half-a-head",
        "/bad-length",
    ];
    for (place, path) in paths.into_iter().enumerate() {
        let answer = edge.get(path).await;
        assert_eq!(answer.status, 502, "{path}");
        assert_eq!(answer.text(), "502 the target broke off or sent garbage\n");
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 502);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["target"], target.address.to_string());
        let error = line["error"].as_str().unwrap();
        assert!(
            error.starts_with(&format!("target {}", target.address)),
            "{error}"
        );
    }
    edge.refused("target_failed", 5).await;
    assert_eq!(target.connections(), 5, "a request was sent twice");
}

#[tokio::test]
async fn a_target_that_says_nothing_is_a_504_after_the_response_timeout() {
    let target = failing_target().await;
    let edge = Edge::start(&group("responseTimeout: 300", &[(target.address, "")])).await;
    let began = Instant::now();

    let answer = edge.get("/stall").await;

    let took = began.elapsed();
    assert_eq!(
        (answer.status, answer.text()),
        (504, "504 the target did not answer in time\n")
    );
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 504);
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line["error"], "the target did not answer in time");
    edge.refused("target_timeout", 1).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_reaches_the_client_as_far_as_it_came() {
    let target = failing_target().await;
    let edge = Edge::start(&group("responseTimeout: 300", &[(target.address, "")])).await;
    let paths = ["/short", "/short-chunk", "/no-last-chunk", "/stall-in-body"];
    for (place, path) in paths.into_iter().enumerate() {
        // Not by Connection: close that the client asks for: the end must be the answer's.
        let mut client = edge.connect().await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.answer_to_end().await;
        assert_eq!(answer.status, 200, "{path}");
        let body = answer.text();
        assert!(
            body.ends_with("hello") || body.ends_with("hello\r\n"),
            "{path}: {body:?}"
        );
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 200, "{path}");
        assert_eq!(line["closeReason"], "target_error", "{path}");
        assert_eq!(line["responseBodyBytes"], 5, "{path}");
        assert!(line["error"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn failing_requests_leave_no_connection_behind() {
    let target = failing_target().await;
    let entries = [(target.address, UNCHECKED), (refusing(), UNCHECKED)];
    let edge = Edge::start(&group("responseTimeout: 50", &entries)).await;
    let paths = [
        "/reset",
        "/close",
        "/garbage",
        "/stall",
        "/short",
        "/stall-in-body",
        "/no-last-chunk",
    ];
    edge.get("/reset").await;
    let before = edge.open_files();

    for request in 0..200 {
        let path = paths[request % paths.len()];
        let mut client = edge.connect().await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        match request % 3 {
            0 => client.reset(),
            1 => client.finish().await,
            _ => _ = client.answer_to_end().await,
        }
    }

    let active = "connections_active{forwarding_rule=\"edge\"}";
    eventually("all connections are closed", || {
        (edge.metric(active) == 0.0).then_some(())
    })
    .await;
    eventually("all files are closed", || {
        (edge.open_files() <= before).then_some(())
    })
    .await;
    assert!(!edge.diagnostics().contains("panicked"));
}
