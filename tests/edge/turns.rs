//! Nobody waits for all that others have to ask: between two requests of a connection others have
//! their turn.

use crate::harness::{Config, Edge, eventually};

const CLIENTS: usize = 50;
const EACH: usize = 60;

#[tokio::test]
async fn requests_that_come_at_once_do_not_keep_another_client_waiting() {
    let edge = Edge::start(&Config::answering("hi").server("threads: 1")).await;
    let mut other = edge.connect().await;
    let mut many = Vec::new();
    for _ in 0..CLIENTS {
        many.push(edge.connect().await);
    }
    let requests = "GET /many HTTP/1.1\r\nHost: a\r\n\r\n".repeat(EACH);
    for client in &mut many {
        client.send(&requests).await;
    }
    let is_begun = || (edge.count_lines() > 0).then_some(());
    eventually("the first are answered", is_begun).await;
    other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.answer().await.status, 200);
    let lines = edge.log_lines(CLIENTS * EACH + 1).await;
    let place = lines.iter().position(|line| line["requestUri"] == "/other");
    let place = place.unwrap();
    assert!(place < CLIENTS * EACH * 3 / 4, "{place} came first");
}
