//! Random configurations that are valid, and random requests that are not always.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::sample::{select, subsequence};
use proptest::strategy::{Just, Strategy};
use proptest::{bool, prop_oneof};
use serde_json::{Value, json};

/// A request in HTTP/1.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub target: &'static str,
    pub version: &'static str,
    pub headers: Vec<(&'static str, String)>,
}

impl Request {
    /// As it goes over the wire, with the body that it announces.
    pub fn text(&self) -> String {
        let fields: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let value = |wanted: &str| {
            let mut found = self.headers.iter().filter(|(name, _)| *name == wanted);
            found.next().map(|(_, value)| value.as_str())
        };
        let length = value("Content-Length").and_then(|length| length.parse().ok());
        let body = match value("Transfer-Encoding") {
            Some(_) => "0\r\n\r\n".to_owned(),
            None => "b".repeat(length.unwrap_or(0)),
        };
        let (method, target, version) = (self.method, self.target, self.version);
        format!("{method} {target} HTTP/{version}\r\n{fields}\r\n{body}")
    }
}

/// A header that is mostly as the first says, and sometimes one of the others.
fn mostly(
    name: &'static str,
    usual: &'static str,
    others: &[&'static str],
) -> impl Strategy<Value = Vec<(&'static str, String)>> + use<> {
    let field = move |value: &'static str| vec![(name, value.to_owned())];
    let twice = move |value: &'static str| [field(value), field(usual)].concat();
    prop_oneof![
        12 => Just(field(usual)),
        2 => select(others.to_vec()).prop_map(field),
        1 => select(others.to_vec()).prop_map(twice),
        1 => Just(Vec::new()),
    ]
}

fn handshake() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let fields = (
        mostly(
            "Connection",
            "keep-alive, Upgrade",
            &["close", "upgrade, host", "Upgrade, X-Forwarded-For"],
        ),
        mostly(
            "Upgrade",
            "websocket",
            &["WebSocket", "tcp", "TCP", "h2c", "websocket, tcp"],
        ),
        mostly("Sec-WebSocket-Version", "13", &["8", "14", ""]),
        mostly(
            "Sec-WebSocket-Key",
            "dGhlIHNhbXBsZSBub25jZQ==",
            &["c2hvcnQ=", "", "x"],
        ),
        mostly(
            "Origin",
            "https://app.example",
            &[
                "https://evil.example",
                "null",
                "https://app.example:444",
                "é",
            ],
        ),
        mostly(
            "Sec-WebSocket-Protocol",
            "chat",
            &["admin", "chat, admin", "x, y", ","],
        ),
    );
    fields.prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat())
}

/// Anything that a head may have besides.
fn others() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    const OTHERS: &[(&str, &str)] = &[
        ("Cookie", "beta=yes; id=7"),
        ("Cookie", "room=blue"),
        ("X-Room", "blue"),
        ("X-Room", ""),
        ("X_Room", "blue"),
        ("X-Forwarded-For", "10.1.2.3"),
        ("X-Forwarded-For", "192.0.2.7, 127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X_Forwarded_For", "10.1.2.3"),
        ("X-Real-Ip", "10.1.2.3"),
        ("X-Client-Certificate-Verify", "valid"),
        ("Forwarded", "for=10.1.2.3;proto=https"),
        ("Expect", "x"),
        ("Content-Length", "0"),
        ("Content-Length", "2"),
        ("Content-Length", "80"),
        ("Content-Length", "x"),
        ("Content-Length", "+2"),
        ("Transfer-Encoding", "chunked"),
        ("Transfer-Encoding", "gzip, chunked"),
        ("Connection", "x-room"),
        ("Connection", "x-real-ip"),
        ("Connection", "a,b,c,d,e,f,g,h,i,j"),
        ("Connection", "\"host\""),
        ("Upgrade", "tcp"),
        ("Keep-Alive", "5"),
        ("TE", "trailers"),
    ];
    let field = |(name, value): (&'static str, &str)| (name, value.to_owned());
    let some = vec(select(OTHERS).prop_map(field), 0..4);
    let long = Just(vec![("X-Long", "x".repeat(2000))]);
    let many = Just(vec![("X-Many", "y".to_owned()); 40]);
    prop_oneof![20 => some, 1 => long, 1 => many]
}

pub fn request() -> impl Strategy<Value = Request> {
    const TARGETS: &[&str] = &[
        "/",
        "/a",
        "/a/b?x=1",
        "/chat?room=blue",
        "/chat",
        "//evil.example/x",
        "/ü?ö",
        "/%zz?\"<>",
        "/?",
        "*",
        "a",
        "http://app.example/a?b",
        "http://app.example",
        "HTTPS://b.example:8443/a",
        "http://u@a/",
        "ftp://a/",
        "http:/\\a",
        "app.example:80",
    ];
    const METHODS: &[&str] = &[
        "GET", "POST", "HEAD", "OPTIONS", "CONNECT", "get", "DELETE", "TRACE",
    ];
    let method = prop_oneof![3 => Just("GET"), 1 => select(METHODS)];
    let target = prop_oneof![1 => select(&TARGETS[..6]), 1 => select(TARGETS)];
    let version = prop_oneof![9 => Just("1.1"), 1 => Just("1.0")];
    let hosts = [
        "b.example:8080",
        "APP.example.",
        "",
        "[::1]:80",
        "a b",
        "a,b",
        "a:x",
        "u@a",
        "ü",
        "%41",
    ];
    let host = mostly("Host", "app.example", &hosts);
    let handshake = prop_oneof![1 => handshake(), 1 => Just(Vec::new())];
    (method, target, version, host, handshake, others()).prop_map(
        |(method, target, version, host, handshake, others)| Request {
            method,
            target,
            version,
            headers: [host, handshake, others].concat(),
        },
    )
}

fn condition() -> impl Strategy<Value = Value> {
    const CONDITIONS: &[&str] = &[
        r#"{"type": "PATH", "condition": "STARTS_WITH", "value": "/a"}"#,
        r#"{"type": "PATH", "condition": "EQUALS", "value": "*"}"#,
        r#"{"type": "PATH", "condition": "MATCHES", "value": "^/(chat|a)"}"#,
        r#"{"type": "QUERY", "key": "room", "condition": "EXISTS"}"#,
        r#"{"type": "HOST", "condition": "EQUALS", "value": "app.example"}"#,
        r#"{"type": "HOST", "condition": "ENDS_WITH", "value": "b.example"}"#,
        r#"{"type": "METHOD", "condition": "EQUALS", "value": "GET"}"#,
        r#"{"type": "COOKIE", "key": "beta", "condition": "EQUALS", "value": "yes"}"#,
        r#"{"type": "SOURCE_IP", "value": "10.0.0.0/8"}"#,
        r#"{"type": "HEADER", "key": "Upgrade", "condition": "EQUALS", "value": "websocket"}"#,
        r#"{"type": "HEADER", "key": "Connection", "condition": "CONTAINS", "value": "grade"}"#,
        r#"{"type": "HEADER", "key": "X-Room", "condition": "EXISTS"}"#,
        r#"{"type": "HEADER", "key": "X_Room", "condition": "EXISTS"}"#,
        r#"{"type": "HEADER", "key": "Expect", "condition": "EXISTS"}"#,
        r#"{"type": "HEADER", "key": "X-Real-Ip", "condition": "EXISTS"}"#,
        r#"{"type": "HEADER", "key": "X-Client-Certificate-Verify", "condition": "EXISTS"}"#,
        r#"{"type": "HEADER", "key": "X-Forwarded-Proto", "condition": "CONTAINS", "value": "s"}"#,
    ];
    (select(CONDITIONS), bool::ANY).prop_map(|(text, negate)| {
        let mut condition: Value = serde_json::from_str(text).unwrap();
        condition["negate"] = json!(negate);
        condition
    })
}

fn action() -> impl Strategy<Value = Value> {
    let answer = select(vec![200, 204, 404, 503]).prop_map(|status| {
        let text = if status == 204 { "" } else { "hi" };
        json!({"type": "STATIC", "statusCode": status, "responseMessage": text})
    });
    let locations = [
        "https://a.example/x",
        "https://{host}{path}{query}",
        "{scheme}://{host}:{port}/",
        "{path}",
    ];
    let redirect = (select(locations.to_vec()), select(vec![301, 302, 307, 308]))
        .prop_map(|(location, status)| {
            json!({"type": "REDIRECT", "location": location, "statusCode": status})
        });
    let keys = [
        ("allowedOrigins", json!(["https://app.example"])),
        ("allowedSubprotocols", json!(["chat"])),
        ("lenientHandshake", json!(true)),
        ("upgrades", json!(["tcp"])),
        (
            "headers",
            json!({"request": {"set": {"X-Way": "{scheme} {host}"}}}),
        ),
        ("rewrite", json!({"host": "inner.example"})),
    ];
    let groups = ["turns", "turns", "address", "hash", "random", "nobody"];
    let forward = (
        select(groups.to_vec()),
        subsequence(keys.to_vec(), 0..=keys.len()),
    )
        .prop_map(|(group, keys)| {
            let mut forward = json!({"type": "FORWARD", "targetGroup": group});
            keys.into_iter()
                .for_each(|(key, value)| forward[key] = value);
            forward
        });
    let split = select(vec![0, 1, 5]).prop_map(|weight| {
        let weights = [("turns", 1), ("address", weight), ("nobody", 3)];
        let groups = weights.map(|(name, weight)| json!({"name": name, "weight": weight}));
        json!({"type": "FORWARD", "targetGroups": groups})
    });
    prop_oneof![1 => answer, 1 => redirect, 4 => forward, 1 => split]
}

fn rules() -> impl Strategy<Value = Value> {
    let last = (action(), vec(condition(), 0..2));
    let rules = vec((action(), vec(condition(), 1..3)), 0..4);
    (rules, last).prop_map(|(mut rules, last)| {
        rules.push(last);
        let named = rules.into_iter().enumerate();
        let named = named.map(|(number, (mut rule, conditions))| {
            rule["name"] = json!(format!("rule {number}"));
            rule["conditions"] = json!(conditions);
            rule
        });
        named.collect()
    })
}

/// A configuration with some rules, and with a group for each way to pick one of these targets.
pub fn configuration(targets: [SocketAddr; 2]) -> impl Strategy<Value = String> {
    let keys = [
        ("trustedProxies", json!(["127.0.0.1"])),
        ("underscoresInHeaders", json!(true)),
        ("maxHeaders", json!(20)),
        ("maxHeaderBytes", json!(1500)),
        ("maxRequestBodyBytes", json!(50)),
    ];
    let keys = subsequence(keys.to_vec(), 0..=keys.len());
    (rules(), keys, option::of(Just(()))).prop_map(move |(rules, keys, cookie)| {
        let mut rule = json!({
            "name": "edge",
            "protocol": "HTTP",
            "listenerIp": "127.0.0.1",
            "listenerPort": "LISTEN_PORT",
            "clientTimeout": 2000,
            "httpRules": rules,
        });
        keys.into_iter().for_each(|(key, value)| rule[key] = value);
        let group = |name: &str, algorithm: &str, weight: u16| {
            let target = |target: SocketAddr| {
                let (ip, port) = (target.ip(), target.port());
                json!({"ip": ip, "port": port, "weight": weight})
            };
            let mut group = json!({
                "name": name,
                "algorithm": algorithm,
                "protocol": "HTTP",
                "targets": targets.map(target),
            });
            if cookie.is_some() {
                group["stickiness"] = json!({"type": "COOKIE", "name": format!("at-{name}")});
            }
            group
        };
        let mut hash = group("hash", "HASH", 1);
        hash["hashKey"] = json!({"type": "HEADER", "key": "Host"});
        let groups = [
            group("turns", "ROUND_ROBIN", 1),
            group("address", "SOURCE_IP", 1),
            hash,
            group("random", "RANDOM", 1),
            group("nobody", "ROUND_ROBIN", 0),
        ];
        let whole = json!({"forwardingRules": [rule], "targetGroups": groups});
        serde_yaml::to_string(&whole).unwrap()
    })
}
