//! Whether a client came over TLS is what a trusted proxy says, where it says so: for cookies,
//! targets, conditions, the log and `explain` alike. So is what its request is called. Nobody else
//! is heard.

use std::net::SocketAddr;

use serde_json::json;

use crate::harness::admin::ask;
use crate::harness::client::header;
use crate::harness::http2::{Http2, get};
use crate::harness::target::ok;
use crate::harness::{Answer, Config, Connection, Edge, Haproxy, Target};

const PROXY: &str = "trustedProxies: [127.0.0.1]";
const LOAD_BALANCER: &str = "proxyProtocol: {from: [127.0.0.1]}";

/// A configuration with these keys for its forwarding rule, which sends whoever came without TLS
/// elsewhere if they ask for /login, and whose targets have cookies.
fn with(keys: &str, target: SocketAddr) -> Config {
    let rule = "{name: login, type: REDIRECT, location: 'https://a/login', conditions: [
        {type: PATH, condition: EQUALS, value: /login},
        {type: HEADER, key: X-Forwarded-Proto, condition: EQUALS, value: http}]}";
    Config::forwarding_to(&[target])
        .rule("h2c: true")
        .rule(keys)
        .http_rules(rule)
        .group("stickiness: {type: COOKIE}")
}

fn asking(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n")
}

/// What a target that shows its heads was told, and whether the client's cookie is for TLS only.
fn told(answer: &Answer) -> (Option<&str>, bool) {
    let cookie = answer
        .header("set-cookie")
        .unwrap_or_else(|| panic!("no cookie: {}", answer.head));
    let scheme = header(answer.text(), "x-forwarded-proto");
    (scheme, cookie.contains("; Secure"))
}

#[tokio::test]
async fn what_a_trusted_proxy_says_counts_everywhere() {
    let target = Target::showing().await;
    let edge = Edge::start(&with(PROXY, target.address)).await;
    for (place, (lines, scheme)) in [
        ("X-Forwarded-Proto: https\r\n", "https"),
        ("X-Forwarded-Proto: HTTPS\r\n", "https"),
        ("X-Forwarded-Proto: wss\r\n", "https"),
        ("Forwarded: for=192.0.2.1;proto=https\r\n", "https"),
        (
            "X-Forwarded-Proto: http\r\nForwarded: proto=https\r\n",
            "http",
        ),
        ("X-Forwarded-Proto: https, http\r\n", "http"),
        (
            "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\nX-Forwarded-Proto: https, http\r\n",
            "https",
        ),
        ("X-Forwarded-Proto: gopher\r\n", "http"),
        ("", "http"),
    ]
    .into_iter()
    .enumerate()
    {
        let is_secure = scheme == "https";
        let shown = edge.request(&asking("/", lines)).await;
        assert_eq!(told(&shown), (Some(scheme), is_secure), "{lines}");
        assert_eq!(
            edge.log_lines(2 * place + 1).await[2 * place]["scheme"],
            scheme
        );
        let status = if is_secure { 200 } else { 301 };
        let answer = edge.request(&asking("/login", lines)).await;
        assert_eq!(answer.status, status, "{lines}");
    }
}

#[tokio::test]
async fn what_anybody_else_says_does_not() {
    let target = Target::showing().await;
    let edge = Edge::start(&with("trustedProxies: [192.0.2.1]", target.address)).await;
    let lies = "X-Forwarded-Proto: https\r\nForwarded: proto=https\r\nX-Request-Id: mine\r\n";
    let shown = edge.request(&asking("/", lies)).await;
    assert_eq!(told(&shown), (Some("http"), false));
    assert_ne!(header(shown.text(), "x-request-id"), Some("mine"));
}

#[tokio::test]
async fn a_request_in_http_2_from_a_trusted_proxy_is_heard_as_well() {
    let target = Target::showing().await;
    let edge = Edge::start(&with(PROXY, target.address)).await;
    let mut request = get("/");
    let headers = request.headers_mut();
    headers.insert("x-forwarded-proto", "https".parse().unwrap());
    headers.insert("x-request-id", "from-before".parse().unwrap());
    let shown = Http2::connect(edge.address).await.ask(request, "").await;
    assert_eq!(header(shown.text(), "x-forwarded-proto"), Some("https"));
    assert_eq!(header(shown.text(), "x-request-id"), Some("from-before"));
    let line = edge.log_line().await;
    assert_eq!(
        (&line["scheme"], &line["trackingId"]),
        (&"https".into(), &"from-before".into())
    );
}

#[tokio::test]
async fn the_header_of_the_proxy_protocol_tells_of_tls_too() {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14";
    const ENDS: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB];
    let target = Target::showing().await;
    let edge = Edge::start(&with(LOAD_BALANCER, target.address)).await;
    for (flags, scheme) in [(1, "https"), (0, "http")] {
        let ssl = [0x20, 0, 5, flags, 0, 0, 0, 1];
        let mut client = edge.connect().await;
        client.send([SIGNATURE, &ENDS, &ssl].concat()).await;
        client.send(asking("/", "")).await;
        let shown = client.answer_to_end().await;
        assert_eq!(told(&shown), (Some(scheme), flags == 1));
    }
    let haproxy = Haproxy::in_front_of(edge.address, "send-proxy-v2-ssl").await;
    let mut client = Connection::open(haproxy.address).await;
    client.send(asking("/", "")).await;
    assert_eq!(told(&client.answer_to_end().await), (Some("http"), false));
}

#[tokio::test]
async fn a_target_hears_of_a_proxys_tls_in_the_proxy_protocol() {
    let target = Target::scripted(async |mut connection: Connection| {
        let header = connection.exactly(36).await;
        connection.head().await;
        let flags = format!("flags {}", header[31]);
        connection.send(ok(&flags)).await;
    })
    .await;
    let unchecked = "proxyProtocol: v2ssl, healthCheckEnabled: false";
    let configuration = with(PROXY, target.address).each_target(unchecked);
    let edge = Edge::start(&configuration).await;
    let answer = edge
        .request(&asking("/", "X-Forwarded-Proto: https\r\n"))
        .await;
    assert_eq!(answer.text(), "flags 1");
    assert_eq!(edge.request(&asking("/", "")).await.text(), "flags 0");
}

#[tokio::test]
async fn what_a_trusted_proxy_calls_a_request_is_kept_where_it_is_sane() {
    let target = Target::showing().await;
    let edge = Edge::start(&with(PROXY, target.address)).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let lines = format!("X-Request-Id: a-1.b\r\ntraceparent: {trace}\r\n");
    let shown = edge.request(&asking("/", &lines)).await;
    assert_eq!(header(shown.text(), "x-request-id"), Some("a-1.b"));
    assert_eq!(header(shown.text(), "traceparent"), Some(trace));
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(129));
    for lines in [
        &long,
        "X-Request-Id: a b\r\n",
        "X-Request-Id: a\r\nX-Request-Id: b\r\n",
    ] {
        let shown = edge.request(&asking("/", lines)).await;
        let id = header(shown.text(), "x-request-id").unwrap();
        assert!(id.len() == 32 && !id.contains('x'), "{id}");
    }
    assert_eq!(edge.log_lines(4).await[0]["trackingId"], "a-1.b");
}

#[tokio::test]
async fn explain_goes_by_the_same_word() {
    let target = Target::showing().await;
    let edge = Edge::start(&with(PROXY, target.address)).await;
    for (headers, matched) in [
        (json!({"X-Forwarded-Proto": "https"}), "all"),
        (json!({}), "login"),
    ] {
        let sample = json!({"path": "/login", "headers": headers}).to_string();
        let (_, told) = ask(&edge, "POST", "/api/v1/explain", &[], &sample);
        assert_eq!(told["matched"], matched);
    }
}
