//! A target that is an address is its path and its host, whatever Host says; and no target has a
//! fragment.

use crate::harness::client::header;
use crate::harness::http2::{END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, frame};
use crate::harness::{Config, Edge, Target};

#[tokio::test]
async fn an_address_is_asked_for_by_its_path_and_its_host() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    let rows = [
        (
            "GET http://a.example/x?y",
            "Host: b.example",
            "GET /x?y",
            "a.example",
        ),
        (
            "GET http://A.example:80/",
            "Host: a.example",
            "GET /",
            "A.example:80",
        ),
        ("GET https://a.example.", "hOST:b", "GET /", "a.example."),
        (
            "OPTIONS http://a.example:8080",
            "Host:",
            "OPTIONS *",
            "a.example:8080",
        ),
        ("GET http://[::1]/%20", "Host: [::1]", "GET /%20", "[::1]"),
    ];
    for (line, host, seen_line, seen_host) in rows {
        let body = "X-A: b\r\nContent-Length: 2\r\n\r\nhi";
        client
            .send(format!("{line} HTTP/1.1\r\n{host}\r\n{body}"))
            .await;
        let seen = client.answer().await;
        let seen = seen.text();
        let start = format!("{seen_line} HTTP/1.1\r\n");
        assert!(
            seen.starts_with(&start) && seen.ends_with("\r\n\r\nhi"),
            "{line}: {seen}"
        );
        assert_eq!(header(seen, "host"), Some(seen_host), "{line}");
        assert_eq!(header(seen, "x-forwarded-host"), Some(seen_host), "{line}");
        assert_eq!(
            seen.to_ascii_lowercase().matches("\nhost:").count(),
            1,
            "{seen}"
        );
    }
    for (line, (asked, host, _, _)) in edge.log_lines(rows.len()).await.iter().zip(rows) {
        assert_eq!(line["requestUri"], asked.split(' ').nth(1).unwrap());
        let length = format!("{asked} HTTP/1.1\r\n{host}\r\nX-A: b\r\nContent-Length: 2\r\n\r\n");
        assert_eq!(line["requestHeaderBytes"], length.len());
        assert_eq!(
            (&line["requestBodyBytes"], &line["httpStatusCode"]),
            (&2.into(), &200.into())
        );
    }
}

#[tokio::test]
async fn rules_see_the_host_and_the_path_of_an_address() {
    let target = Target::answering("target").await;
    let rule = "{name: a, type: STATIC, statusCode: 202, responseMessage: a, \
        conditions: [{type: HOST, condition: EQUALS, value: a.example}, {type: PATH, condition: EQUALS, value: /x}]}";
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rules(rule)).await;
    let mut client = edge.connect().await;
    for (line, host, status) in [
        ("http://a.example/x", "b.example", 202),
        ("http://A.EXAMPLE:80/x?y", "b.example", 202),
        ("http://b.example/x", "a.example", 200),
        ("http://a.example/y", "a.example", 200),
    ] {
        client
            .send(format!("GET {line} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status, status, "{line}");
    }
}

#[tokio::test]
async fn a_target_with_a_fragment_is_refused() {
    let target = Target::answering("target").await;
    let h2c = Config::forwarding_to(&[target.address]).rule("h2c: true");
    let edge = Edge::start(&h2c).await;
    for path in ["/x#y", "/#", "/x?y#z"] {
        let answer = edge.get(path).await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (400, Some("close"))
        );
    }
    assert_eq!(target.connections(), 0);
    edge.refused("bad_request", 3).await;
    // `:method: GET`, `:scheme: http`, `:path: /x#y`, `:authority: a`.
    let mut client = Frames::connect(edge.address).await;
    let block = b"\x82\x86\x04\x04/x#y\x01\x01a";
    let asked = frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    client.0.send(asked).await;
    client.next_of(&[RST_STREAM]).await;
    edge.refused("bad_request", 4).await;
    assert_eq!(target.connections(), 0);
}
