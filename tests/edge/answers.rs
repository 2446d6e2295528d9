//! Answers of a target that two readers might take for different ones, and what the client gets of
//! them.

use crate::harness::target::ok;
use crate::harness::{Connection, Edge, Target};

const CHUNKED: &str = "2\r\nhi\r\n0\r\n\r\n";

/// Answers of a target, and what the client gets: a status and a body.
fn answers() -> Vec<(String, u16, &'static str)> {
    let head = |lines: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{body}");
    vec![
        (head("Content-Length: 2", "hi"), 200, "hi"),
        (
            head("Content-Length: 999\r\nTransfer-Encoding: chunked", CHUNKED),
            200,
            "hi",
        ),
        (
            head("Content-Length: 2\r\nContent-Length: 2", "hi"),
            200,
            "hi",
        ),
        (
            head("Content-Length: 2\r\nContent-Length: 3", "hi"),
            502,
            "",
        ),
        (head("Content-Length: x", "hi"), 502, ""),
        (head("Content-Length: 2\r\nX-A: b\0c", "hi"), 502, ""),
        (head("Content-Length: 2\r\nX-A: b\rc", "hi"), 502, ""),
        // Pingora unfolds it (RFC 9112 section 5.2).
        (head("Content-Length: 2\r\nX-A: b\r\n c", "hi"), 200, "hi"),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi".into(), 200, "hi"),
        ("garbage\r\n\r\n".into(), 502, ""),
        (
            "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi".into(),
            502,
            "",
        ),
        // A second answer behind the first belongs to nobody.
        (
            head("Content-Length: 2", "hi") + &head("Content-Length: 4", "evil"),
            200,
            "hi",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                .into(),
            502,
            "",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned()
                + &head("Content-Length: 2", "hi"),
            502,
            "",
        ),
        ("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000), 502, ""),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(3) + &head("Content-Length: 2", "hi"),
            200,
            "hi",
        ),
    ]
}

#[tokio::test]
async fn an_answer_is_read_to_the_letter_and_is_the_answer_to_one_request() {
    let target = Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            let number = head.split(['/', ' ']).nth(2).unwrap().parse::<usize>();
            let answer =
                number.map_or_else(|_| ok("good"), |number| answers().swap_remove(number).0);
            connection.send(answer).await;
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut wrong = Vec::new();
    for (number, (text, expected, body)) in answers().into_iter().enumerate() {
        let mut client = edge.connect().await;
        client
            .send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let mut answer = client.answer_without_body().await;
        while (100..200).contains(&answer.status) && answer.status != 101 {
            answer = client.answer_without_body().await;
        }
        assert!(!answer.head.contains("\n "), "{}", answer.head);
        let content = client.body(&answer.head).await;
        let is_body = expected != 200 || content == body.as_bytes();
        if answer.status != expected || !is_body {
            let text = text[..text.len().min(100)].escape_default();
            wrong.push(format!(
                "{text}: {} {:?}",
                answer.status,
                String::from_utf8_lossy(&content)
            ));
        }
        // Whatever is left of it on the way to the target is nobody's answer.
        let good = edge.get("/good").await;
        if good.text() != "good" {
            wrong.push(format!("then {}", good.text()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
