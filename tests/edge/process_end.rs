//! A signal ends the process: requests may complete, or are cut, and each leaves its line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};
use crate::operations::{GET, requests};

#[tokio::test]
async fn sigterm_with_nothing_open_ends_the_process_at_once() {
    for signal in ["TERM", "INT"] {
        let edge = Edge::start(&Config::answering("hello")).await;
        let began = Instant::now();
        edge.signal(signal);
        let (status, lines) = edge.ended().await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
        assert_eq!((status.code(), lines.len()), (Some(0), 0));
    }
}

#[tokio::test]
async fn a_drain_lets_a_request_complete_and_closes_its_connection() {
    let (target, go_on) = slow_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client.send(GET).await;
    eventually("the request is there", || {
        (target.connections() == 1).then_some(())
    })
    .await;

    edge.signal("TERM");
    eventually("the drain", || {
        (edge.metric("draining") == 1.0).then_some(())
    })
    .await;
    go_on.notify_one();

    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.to_end().await, b"");
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["closeReason"], "completed");
}

#[tokio::test]
async fn a_drain_lets_an_answer_that_has_begun_complete() {
    let (target, go_on) = slow_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client.send(GET.replace("/ ", "/slow-body ")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");

    edge.signal("TERM");
    eventually("the drain", || {
        (edge.metric("draining") == 1.0).then_some(())
    })
    .await;
    go_on.notify_one();

    assert_eq!(client.exactly(5).await, b"hello");
    assert_eq!(client.to_end().await, b"");
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["closeReason"], "completed");
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_listeners_while_the_admin_address_answers() {
    let (target, go_on) = slow_target().await;
    let patient = Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 60s")
        .group("connectTimeout: 60s, responseTimeout: 60s");
    let edge = Edge::start(&patient).await;
    let (mut idle, mut busy) = (edge.connect().await, edge.connect().await);
    idle.send(GET.replace("/ ", "/fast ")).await;
    idle.answer().await;
    busy.send(GET).await;
    eventually("the request is there", || {
        (target.connections() == 1).then_some(())
    })
    .await;

    edge.signal("TERM");

    assert_eq!(idle.to_end().await, b"");
    eventually("not ready", || {
        edge.admin_page("/readyz").contains(" 503 ").then_some(())
    })
    .await;
    assert!(edge.admin_page("/readyz").ends_with("draining\n"));
    assert!(edge.admin_page("/livez").contains(" 200 "));
    edge.metric_becomes("draining", 1.0).await;
    soon("new connections are refused", async {
        while TcpStream::connect(edge.address).await.is_ok() {}
    })
    .await;
    go_on.notify_one();
    assert_eq!(busy.answer().await.status, 200);
    assert_eq!(edge.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_drain_hears_a_client_that_had_connected_before_it() {
    let edge = Edge::start(&Config::answering("hello")).await;
    let mut client = edge.connect().await;
    let active = "connections_active{forwarding_rule=\"edge\"}";
    eventually("the connection", || {
        (edge.metric(active) == 1.0).then_some(())
    })
    .await;

    edge.signal("TERM");
    eventually("the drain", || {
        (edge.metric("draining") == 1.0).then_some(())
    })
    .await;
    client.send(GET).await;

    assert_eq!(client.answer().await.header("connection"), Some("close"));
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
}

#[tokio::test]
async fn sigint_leaves_a_line_for_each_request_in_flight() {
    for (first, second) in [(None, "INT"), (Some("TERM"), "INT"), (Some("TERM"), "TERM")] {
        let (target, _go_on) = slow_target().await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let mut clients = Vec::new();
        for path in ["/a", "/b", "/slow-body"] {
            let mut client = edge.connect().await;
            client
                .send(format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                ))
                .await;
            clients.push(client);
        }
        clients[2].head().await;
        eventually("all are there", || {
            (target.connections() == 3).then_some(())
        })
        .await;
        if let Some(first) = first {
            edge.signal(first);
            eventually("the drain", || {
                (edge.metric("draining") == 1.0).then_some(())
            })
            .await;
        }

        edge.signal(second);

        let (status, mut lines) = edge.ended().await;
        assert_eq!(status.code(), Some(0));
        lines.sort_by_key(|line| line["requestUri"].to_string());
        let expected = [("/a", None), ("/b", None), ("/slow-body", Some(200))];
        assert_eq!(lines.len(), expected.len());
        for (line, (uri, status)) in lines.iter().zip(expected) {
            assert_eq!(line["requestUri"], uri);
            assert_eq!(line["closeReason"], "process_exit");
            assert_eq!(line["requestBodyBytes"], 3);
            assert_eq!(line.get("httpStatusCode").and_then(Value::as_u64), status);
        }
    }
}

#[tokio::test]
async fn sigint_leaves_a_line_for_an_open_tunnel() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut tunnel = edge.websocket("/chat").await;
    tunnel.send(Message::text("hello")).await.unwrap();
    soon("the echo", tunnel.next()).await.unwrap().unwrap();

    edge.signal("INT");

    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["httpStatusCode"], 101);
    assert_eq!(lines[0]["closeReason"], "process_exit");
    // A frame of five bytes, which a client masks.
    assert_eq!(lines[0]["requestBodyBytes"], 2 + 4 + 5);
    assert_eq!(lines[0]["responseBodyBytes"], 2 + 5);
}

#[tokio::test]
async fn no_line_of_a_burst_is_lost_to_a_signal_though_its_reader_is_slow() {
    for signal in ["TERM", "INT"] {
        let edge = Edge::start(&Config::answering("hello")).await;
        let unread = edge.stop_reading();
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = edge.connect().await;
            requests(&mut client, 100).await;
            clients.push(client);
        }

        edge.signal(signal);
        // Longer than the process needs to end, were it not for the lines.
        sleep(Duration::from_millis(500)).await;
        drop(unread);

        let (status, lines) = edge.ended().await;
        assert_eq!((status.code(), lines.len()), (Some(0), 1000));
    }
}

/// A target that answers when it is told to go on: nothing before that, or the head, or, to
/// `/fast`, at once.
async fn slow_target() -> (Target, Arc<Notify>) {
    let go_on = Arc::<Notify>::default();
    let told = Arc::clone(&go_on);
    let target = Target::scripted(move |mut connection: Connection| {
        let told = Arc::clone(&told);
        async move {
            while connection.has_more().await {
                let head = connection.head().await;
                connection.body(&head).await;
                let (at_first, then) = match &*ok("hello") {
                    all if head.contains("/fast ") => (all.to_owned(), String::new()),
                    all if head.contains("/slow-body ") => {
                        (all.replace("hello", ""), "hello".to_owned())
                    }
                    all => (String::new(), all.to_owned()),
                };
                connection.send(at_first).await;
                if !then.is_empty() {
                    told.notified().await;
                }
                connection.send(then).await;
            }
        }
    })
    .await;
    (target, go_on)
}
