//! An answer of a rule's own that has no body ends where its client expects it.

use http::{Method, Request};

use crate::harness::http2::Http2;
use crate::harness::{Config, Edge, Target};

const STATUSES: [(u16, Option<&str>); 3] = [(204, None), (205, Some("0")), (304, None)];

async fn start(target: &Target) -> Edge {
    let rule = |(status, _)| {
        format!(
            "- {{name: s{status}, type: STATIC, statusCode: {status}, responseMessage: '', \
             conditions: [{{type: PATH, condition: EQUALS, value: /{status}}}]}}\n"
        )
    };
    let rules: String = STATUSES.into_iter().map(rule).collect();
    let configuration = Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .http_rules(&rules);
    Edge::start(&configuration).await
}

#[tokio::test]
async fn a_205_says_that_it_is_empty_and_the_next_answer_follows() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    for method in ["GET", "HEAD", "POST"] {
        for (status, length) in STATUSES {
            let request = format!("{method} /{status} HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send(request).await;
            let answer = client.answer_without_body().await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("content-length"), length, "{}", answer.head);
            assert_eq!(answer.header("transfer-encoding"), None, "{}", answer.head);
            assert_eq!(answer.header("connection"), Some("keep-alive"));
        }
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn so_it_does_over_http_2() {
    let target = Target::answering("hello").await;
    let edge = start(&target).await;
    let mut client = Http2::connect(edge.address).await;
    for method in [Method::GET, Method::HEAD] {
        for (status, length) in STATUSES {
            let uri = format!("http://a.example/{status}");
            let request = Request::builder().method(&method).uri(uri);
            let reply = client.ask(request.body(()).unwrap(), "").await;
            assert_eq!((reply.status(), reply.text()), (status, ""));
            let found = reply.head.headers().get("content-length");
            assert_eq!(found.map(|value| value.to_str().unwrap()), length);
        }
    }
}
