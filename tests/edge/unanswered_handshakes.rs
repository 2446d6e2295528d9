//! A handshake that a target declines, does not answer, or never hears of.

use crate::handshake::Hesitating;
use crate::harness::client::{HANDSHAKE, handshake, header, status};
use crate::harness::target::{refusing, switching_protocols};
use crate::harness::{Config, Connection, Edge, Target, soon};

/// A target that gives handshakes this answer and plain requests a 204.
async fn declining(answer: &'static str) -> Target {
    Target::scripted(move |mut connection: Connection| async move {
        while connection.has_more().await {
            let answer = match header(&connection.head().await, "upgrade") {
                Some(_) => answer,
                None => "HTTP/1.1 204 No Content\r\n\r\n",
            };
            connection.send(answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_target_that_declines_is_heard_and_the_connection_goes_on() {
    for answer in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied",
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 5\r\n\r\nlogin",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let target = declining(answer).await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        let seen = client.head().await;
        assert_eq!(status(&seen), status(answer));
        assert_eq!(header(&seen, "location"), header(answer, "location"));
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(client.exactly(body.len()).await, body.as_bytes());
        let line = edge.log_line().await;
        assert_eq!(line["httpStatusCode"], status(answer));
        assert_eq!(line["closeReason"], "completed");
        assert_eq!(line.get("upgrade"), None);

        let plain = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
        client.send(plain).await;
        assert_eq!(client.answer().await.status, 204);
    }
}

#[tokio::test]
async fn a_client_that_did_not_wait_hears_a_target_that_declines() {
    let target = declining("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client
        .send([HANDSHAKE.as_bytes(), b"\x81\x85early"].concat())
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "denied"));
    assert_eq!(target.connections(), 1, "the frame went to a target");
}

#[tokio::test]
async fn interim_answers_come_before_the_101_and_before_a_refusal() {
    const INTERIM: &str =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    for code in [101, 403] {
        let target = Target::scripted(move |mut connection: Connection| async move {
            let accepted = switching_protocols(&connection.head().await);
            let answer = match code {
                101 => accepted + "hello",
                _ => "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
            };
            connection.send(format!("{INTERIM}{answer}")).await;
            connection.echo().await;
        })
        .await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        assert_eq!(status(&client.head().await), 100);
        assert_eq!(header(&client.head().await, "link"), Some("</style.css>"));
        assert_eq!(status(&client.head().await), code);
        assert_eq!(client.exactly(5).await, b"hello");
        client.finish().await;
        assert_eq!(edge.log_line().await["httpStatusCode"], code);
    }
}

#[tokio::test]
async fn a_handshake_that_the_target_leaves_unanswered_gets_a_504() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        if head.contains("/interim") {
            connection.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
        }
        connection.to_end().await;
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration.group("responseTimeout: 300")).await;
    let interim = handshake("/interim", "");
    for (place, (handshake, early)) in [(HANDSHAKE, ""), (HANDSHAKE, "early"), (&interim, "")]
        .into_iter()
        .enumerate()
    {
        let mut client = edge.connect().await;
        client.send(format!("{handshake}{early}")).await;
        if handshake == interim {
            assert_eq!(status(&client.head().await), 103);
        }
        let answer = client.answer().await;
        assert_eq!(answer.status, 504);
        client.to_end().await;
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 504);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["error"], "the target did not answer in time");
        assert_eq!(line.get("upgrade"), None);
        assert!(line["durationMs"].as_f64().unwrap() >= 300.0, "{line}");
    }
}

#[tokio::test]
async fn a_target_that_declines_and_then_falls_silent_is_given_up() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nden";
        connection.send(answer).await;
        connection.to_end().await;
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address]);
    let configuration = configuration.group("responseTimeout: 300");
    let edge = Edge::start(&configuration).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    let answer = client.answer_to_end().await;
    assert_eq!((answer.status, answer.text()), (403, "den"));
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 403);
    assert_eq!(line["closeReason"], "target_error");
}

#[tokio::test]
async fn a_client_that_is_gone_before_the_101_leaves_its_line() {
    for (does_reset, reason) in [(false, "client_closed"), (true, "client_error")] {
        let hesitating = Hesitating::start().await;
        let edge = Edge::forwarding_to(&[hesitating.target.address]).await;
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        soon("the target is asked", hesitating.asked.notified()).await;
        if does_reset {
            client.reset();
        } else {
            drop(client);
        }
        hesitating.accept.notify_one();
        assert_eq!(edge.log_line().await["closeReason"], reason);
    }
}

#[tokio::test]
async fn a_handshake_without_a_target_gets_a_503() {
    let edge = Edge::forwarding_to(&[refusing()]).await;
    let answer = edge.request(HANDSHAKE).await;
    assert_eq!(answer.status, 503);
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 503);
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line.get("upgrade"), None);
}

#[tokio::test]
async fn a_handshake_whose_target_breaks_off_gets_a_502() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let answer = edge.request(HANDSHAKE).await;
    assert_eq!(answer.status, 502);
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 502);
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line.get("upgrade"), None);
}

#[tokio::test]
async fn a_handshake_goes_on_to_the_next_target_when_one_cannot_be_connected_to() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[refusing(), target.address]).await;
    for _ in 0..4 {
        edge.tunnel().await;
    }
    for line in edge.log_lines(4).await {
        assert_eq!(line["target"], target.address.to_string());
        assert_eq!(line["closeReason"], "client_closed");
    }
}
