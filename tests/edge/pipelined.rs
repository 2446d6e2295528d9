//! A request that comes right behind another's chunked body is served, and no connection is called
//! kept that is then closed.

use crate::harness::client::header;
use crate::harness::target::ok;
use crate::harness::{Connection, Edge, Target};

const GET: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const BODY: &str = "2\r\nhi\r\n0\r\nA: b\r\n\r\n";

#[tokio::test]
async fn what_comes_behind_a_chunked_body_is_the_next_request() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for parts in [
        [&format!("{POST}{BODY}{GET}"), "", ""],
        [&format!("{GET}{POST}"), BODY, GET],
        [&format!("{POST}2\r\nh"), &BODY[4..], GET],
        [&format!("{POST}{BODY}{POST}"), BODY, GET],
    ] {
        let requests = parts.concat().matches(" HTTP/1.1").count();
        let mut client = edge.connect().await;
        for part in parts {
            client.send(part).await;
        }
        for number in 0..requests {
            let answer = client.answer().await;
            let is_get = answer.text().starts_with("GET /next ");
            assert_eq!(answer.status, 200, "{parts:?} {number}");
            assert!(
                is_get || answer.text().ends_with("\r\n\r\nhi"),
                "{}",
                answer.text()
            );
            assert_ne!(answer.header("connection"), Some("close"), "{parts:?}");
        }
        client.send(GET).await;
        assert_eq!(client.answer().await.status, 200, "{parts:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_after_an_answer_was_not_called_kept() {
    let target = Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            connection.send(ok("early")).await;
            connection.body(&head).await;
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for body in [BODY, "2\r\nhi\r\n0\r\ngarbage\r\n\r\n", "x\r\n"] {
        for _ in 0..10 {
            let mut client = edge.connect().await;
            client.send(format!("{GET}{POST}")).await;
            client.send(format!("{body}{GET}")).await;
            let mut is_kept = true;
            // Three requests get three answers, unless one says that it is the last.
            for _ in 0..3 {
                let head = client.head().await;
                client.body(&head).await;
                is_kept = header(&head, "connection") != Some("close");
                assert!(
                    head.contains(" 200 ") || (!is_kept && body != BODY),
                    "{head}"
                );
                if !is_kept {
                    assert_eq!(client.to_end().await, b"");
                    break;
                }
            }
            assert!(!is_kept || body == BODY, "{body:?}");
        }
    }
}
