//! An explanation of the API agrees with what happens, and tells why it would.

use serde_json::{Value, json};

use crate::harness::admin::ask;
use crate::harness::{Config, Edge, Target};

/// Rules of all kinds, and requests for them: method, path, headers.
const RULES: &str = "{name: gone, type: STATIC, statusCode: 410, responseMessage: gone,
        conditions: [{type: PATH, condition: EQUALS, value: /gone}]},
    {name: moved, type: REDIRECT, location: 'https://example.com/new',
        conditions: [{type: HOST, condition: EQUALS, value: old.example}]},
    {name: beta, type: STATIC, statusCode: 200, responseMessage: beta, conditions: [
        {type: COOKIE, condition: EQUALS, key: beta, value: 'yes'}, {type: QUERY, condition: EXISTS, key: off, negate: true}]},
    {name: inside, type: STATIC, statusCode: 403, responseMessage: no,
        conditions: [{type: SOURCE_IP, value: 10.0.0.0/8}]},
    {name: chat, type: FORWARD, targetGroup: group, conditions: [
        {type: HEADER, key: Connection, condition: EQUALS, value: upgrade}, {type: METHOD, condition: EQUALS, value: GET}]},
    {name: api, type: FORWARD, targetGroup: group,
        conditions: [{type: PATH, condition: MATCHES, value: '^/api/v[12]/'}]}";

type Sample = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);
const SAMPLES: &[Sample] = &[
    ("GET", "/gone", &[]),
    ("GET", "/gone?a", &[]),
    ("POST", "/api/v1/x", &[]),
    ("GET", "/api/v3/x", &[]),
    ("GET", "/a?b=c", &[("Host", "OLD.example:80")]),
    ("GET", "/", &[("Cookie", "a=b; beta=yes")]),
    ("GET", "/?off", &[("Cookie", "beta=yes")]),
    ("GET", "/gone", &[("X-Forwarded-For", "10.2.3.4")]),
    ("GET", "/", &[("X-Forwarded-For", "10.2.3.4, 127.0.0.1")]),
    (
        "GET",
        "/chat",
        &[
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ),
    (
        "GET",
        "/chat",
        &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
    ),
    (
        "GET",
        "/chat",
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "8"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ),
];

#[tokio::test]
async fn an_explanation_agrees_with_what_happens() {
    let target = Target::named("a").await;
    let rules = Config::forwarding_to(&[target.address])
        .rule("trustedProxies: [127.0.0.1], httpRules: []")
        .http_rules(RULES);
    let edge = Edge::start(&rules).await;
    let mut lines = 0;
    for (method, path, headers) in SAMPLES {
        let told = explained(&edge, method, path, headers);

        let mut client = edge.connect().await;
        let has_host = headers.iter().any(|(name, _)| *name == "Host");
        let host = if has_host {
            ""
        } else {
            "Host: example.com\r\n"
        };
        let head: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        client
            .send(format!("{method} {path} HTTP/1.1\r\n{host}{head}\r\n"))
            .await;
        let answer = client.head().await;
        drop(client);
        lines += 1;
        let line = edge.log_lines(lines).await.remove(lines - 1);

        assert_eq!(
            told["matched"], line["httpRule"],
            "{method} {path}: {told:#}"
        );
        assert_eq!(told["clientIp"], line["clientIp"], "{method} {path}");
        let target = told["refusal"]
            .is_null()
            .then(|| told["action"]["target"].clone());
        assert_eq!(
            target.unwrap_or_default(),
            line["target"],
            "{method} {path}: {told:#}"
        );
        let status = match (
            &told["refusal"]["statusCode"],
            &told["action"]["statusCode"],
        ) {
            (Value::Null, Value::Null) if told["action"]["websocket"] == true => &json!(101),
            (Value::Null, Value::Null) => &json!(200),
            (Value::Null, status) | (status, _) => status,
        };
        assert_eq!(*status, line["httpStatusCode"], "{method} {path}: {told:#}");
        if let Some(location) = told["action"]["location"].as_str() {
            assert!(
                answer.contains(&format!("\r\nLocation: {location}\r\n")),
                "{answer}"
            );
        }
    }
}

fn explained(edge: &Edge, method: &str, path: &str, headers: &[(&str, &str)]) -> Value {
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .chain(
            [("Host".to_owned(), json!("example.com"))]
                .into_iter()
                .filter(|_| headers.iter().all(|(name, _)| *name != "Host")),
        )
        .collect();
    let sample =
        json!({"method": method, "path": path, "headers": headers, "clientIp": "127.0.0.1"});
    let (status, answer) = ask(edge, "POST", "/api/v1/explain", &[], &sample.to_string());
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn an_explanation_tells_what_each_condition_saw() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let rules = Config::forwarding_to(&[a.address, b.address]).http_rule(
        "conditions: [{type: HEADER, key: X-Room, condition: CONTAINS, value: lu, negate: true}]",
    );
    let edge = Edge::start(&rules).await;
    let sample = json!({"path": "/", "headers": {"X-Room": ["blue", "red"]}});
    let (_, told) = ask(&edge, "POST", "/api/v1/explain", &[], &sample.to_string());
    let expected = json!({"type": "HEADER", "condition": "CONTAINS", "key": "x-room", "value": "lu", "negate": true,
        "saw": ["blue", "red"], "held": false});
    assert_eq!(told["httpRules"][0]["conditions"][0], expected);
    assert_eq!(
        (&told["matched"], &told["refusal"]["statusCode"]),
        (&Value::Null, &json!(404))
    );
}

#[tokio::test]
async fn the_target_that_is_foretold_is_the_one_that_is_picked() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::forwarding_to(&[a.address, b.address]).await;
    for number in 1..=6 {
        let foretell = |()| explained(&edge, "GET", "/", &[])["action"]["target"].take();
        let [foretold, again] = [(); 2].map(foretell);
        assert_eq!(foretold, again, "asking moves the turn");
        edge.get("/").await;
        let line = edge.log_lines(number).await.remove(number - 1);
        assert_eq!(line["target"], foretold);
    }
}

#[tokio::test]
async fn a_sample_that_is_no_request_is_refused() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for (sample, expected, word) in [
        (json!({}), 400, "path"),
        (json!({"path": ""}), 400, "path"),
        (json!({"path": "/ HTTP/1.1\r\nHost: a"}), 400, "path"),
        (json!({"path": "/", "headers": {"a b": "c"}}), 400, "a b"),
        (json!({"path": "/", "headers": {"a": "\n"}}), 400, "a"),
        (json!({"path": "/", "clientIp": "x"}), 400, ""),
        (json!({"path": "/", "method": "A B"}), 400, "method"),
        (json!({"path": "/", "tls": true}), 400, "tls"),
        (json!({"path": "/", "forwardingRule": "x"}), 404, "rule"),
        (json!({"path": "/", "header": {}}), 400, "header"),
    ] {
        let (status, answer) = ask(&edge, "POST", "/api/v1/explain", &[], &sample.to_string());
        let error = answer["error"].as_str().unwrap();
        assert!(
            status == expected && error.contains(word),
            "{sample}: {status} {error}"
        );
    }
}
