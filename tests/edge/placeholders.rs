//! What placeholders stand for: in the location of a redirect, and in headers.

use crate::harness::admin::ask;
use crate::harness::client::header;
use crate::harness::http2::{Http2, get};
use crate::harness::target::ok;
use crate::harness::{Authority, Config, Edge, Target};

/// An edge, with clear HTTP/2, whose first HTTP rules are these.
async fn redirecting(rules: &str, target: &Target) -> Edge {
    let configuration = Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .http_rules(rules);
    Edge::start(&configuration).await
}

const RULES: &str = "
      - name: moved
        type: REDIRECT
        conditions: [{type: PATH, condition: STARTS_WITH, value: /old}]
        rewrite: {pathPrefix: /new}
        location: '{path}{query}'
      - name: to-https
        type: REDIRECT
        statusCode: 308
        conditions: [{type: HOST, condition: ENDS_WITH, value: .example}]
        location: 'https://{host}{path}{query}'
";

#[tokio::test]
async fn a_redirect_keeps_what_the_request_had() {
    let target = Target::answering("hello").await;
    let edge = redirecting(RULES, &target).await;
    for (host, path, status, location) in [
        (
            "a.example:8080",
            "/room?a=b",
            308,
            "https://a.example/room?a=b",
        ),
        (
            "a.example",
            "//b.example/",
            308,
            "https://a.example//b.example/",
        ),
        ("a.example", "/old/room?a", 301, "/new/room?a"),
        ("a.example", "/old", 301, "/new"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = edge.request(&request).await;
        let found = (answer.status, answer.header("location"));
        assert_eq!(found, (status, Some(location)), "{host} {path}");
    }
    let reply = Http2::connect(edge.address)
        .await
        .ask(get("/b?c"), "")
        .await;
    assert_eq!(reply.status(), 308);
    assert_eq!(reply.head.headers()["location"], "https://a.example/b?c");
}

#[tokio::test]
async fn a_request_that_has_not_what_its_location_needs_is_a_bad_one() {
    let target = Target::answering("hello").await;
    let rules = "{name: all, type: REDIRECT, location: 'https://{host}{path}'}";
    let configuration = Config::forwarding_to(&[target.address])
        .http_rules(rules)
        .http_rule("name: rest");
    let edge = Edge::start(&configuration).await;
    for head in ["OPTIONS * HTTP/1.1\r\nHost: a", "GET / HTTP/1.1\r\nHost:"] {
        let request = format!("{head}\r\nConnection: close\r\n\r\n");
        assert_eq!(edge.request(&request).await.status, 400, "{head}");
    }
    for line in edge.log_lines(2).await {
        assert_eq!(line["closeReason"], "refused", "{line}");
        assert_eq!(line["httpRule"], "all", "{line}");
    }
}

#[tokio::test]
async fn what_would_become_of_a_request_says_where_it_would_be_sent() {
    let target = Target::answering("hello").await;
    let edge = redirecting(RULES, &target).await;
    let sample = r#"{"path": "/a?b", "headers": {"Host": "a.example"}, "clientIp": "192.0.2.1"}"#;
    let (status, answer) = ask(&edge, "POST", "/api/v1/explain", &[], sample);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["action"]["location"], "https://a.example/a?b");
}

const HEADERS: &str = "headers: {
    request: {set: {
        X-Came: '{scheme}://{host}:{port}{path}{query}',
        X-Who: '{clientIp} {clientPort}',
        X-Id: '{trackingId}',
        X-Tls: '{tlsProtocol} {serverName} {tlsCipher}',
        X-Certificate: '{clientCertificateFingerprint}',
        X-Json: '{\"a\": \"{{host}}\"}'}},
    response: {set: {X-Seen: '{clientIp}'}, add: {X-Added: '{tlsProtocol}'}}}";

fn with_headers(target: &Target) -> Config {
    Config::forwarding_to(&[target.address]).http_rule(HEADERS)
}

#[tokio::test]
async fn headers_tell_what_is_known_of_the_client() {
    let target = Target::replying(|head, _| ok(head)).await;
    let edge = Edge::start(&with_headers(&target)).await;
    let mut client = edge.connect().await;
    let port = client.stream.local_addr().unwrap().port();
    client
        .send("GET /a?b=c HTTP/1.1\r\nHost: a.example:81\r\nX-Tls: forged\r\nX-Certificate: forged\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-seen"), Some("127.0.0.1"));
    assert_eq!(answer.header("x-added"), None);
    let head = answer.text();
    for (name, expected) in [
        ("x-came", Some("http://a.example:81/a?b=c")),
        ("x-who", Some(&*format!("127.0.0.1 {port}"))),
        ("x-tls", None),
        ("x-certificate", None),
        ("x-json", Some("{\"a\": \"{host}\"}")),
    ] {
        assert_eq!(header(head, name), expected, "{name} in {head}");
    }
    assert_eq!(header(head, "x-id"), header(head, "x-request-id"));
}

#[tokio::test]
async fn headers_tell_what_is_known_of_its_tls() {
    let authority = Authority::new();
    authority.issue("edge", &["a.example"]);
    let target = Target::replying(|head, _| ok(head)).await;
    let edge = Edge::start(&with_headers(&target).tls(&authority, &["edge"])).await;
    let mut client = authority.connect(edge.address, "a.example").await;
    client
        .send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-added"), Some("TLSv1.3"));
    let head = answer.text();
    assert_eq!(header(head, "x-came"), Some("https://a.example:443/"));
    let tls = header(head, "x-tls").unwrap();
    assert!(tls.starts_with("TLSv1.3 a.example TLS"), "{tls}");
}
