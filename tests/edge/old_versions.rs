//! HTTP/1.0 on either side concerns that side alone: answers have our version, and targets are
//! asked in HTTP/1.1, with a host.

use crate::harness::client::header;
use crate::harness::{Config, Edge, Target};

#[tokio::test]
async fn an_answer_in_http_1_0_reaches_the_client_in_http_1_1() {
    for answer in [
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.0 204 No Content\r\n\r\n",
    ] {
        let target = Target::replying(move |_, _| answer.to_owned()).await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        for version in ["1.0", "1.1"] {
            let close = "Host: a\r\nConnection: close\r\n\r\n";
            let seen = edge
                .request(&format!("GET / HTTP/{version}\r\n{close}"))
                .await;
            let status = answer
                .split_once(' ')
                .unwrap()
                .1
                .split("\r\n")
                .next()
                .unwrap();
            let line = format!("HTTP/1.1 {status}\r\n");
            assert!(seen.head.starts_with(&line), "{version}: {}", seen.head);
        }
    }
}

#[tokio::test]
async fn a_request_of_http_1_0_without_a_host_has_its_targets_address() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let seen = edge.request("GET /check HTTP/1.0\r\n\r\n").await;
    let address = target.address.to_string();
    assert!(
        seen.text().starts_with("GET /check HTTP/1.1\r\n"),
        "{}",
        seen.text()
    );
    assert_eq!(header(seen.text(), "host"), Some(&*address));
    assert_eq!(header(seen.text(), "x-forwarded-host"), None);
    assert_eq!(edge.log_line().await.get("hostName"), None);

    let seen = edge
        .request("GET http://a.example/x HTTP/1.0\r\n\r\n")
        .await;
    assert!(
        seen.text().starts_with("GET /x HTTP/1.1\r\n"),
        "{}",
        seen.text()
    );
    assert_eq!(header(seen.text(), "host"), Some("a.example"));
    assert_eq!(header(seen.text(), "x-forwarded-host"), Some("a.example"));

    let rewrite = "rewrite: {host: inner.example}";
    let edge = Config::forwarding_to(&[target.address]).http_rule(rewrite);
    let seen = Edge::start(&edge)
        .await
        .request("GET / HTTP/1.0\r\n\r\n")
        .await;
    assert_eq!(header(seen.text(), "host"), Some("inner.example"));
}
