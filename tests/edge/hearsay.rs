//! What a request says in the name of proxies reaches neither conditions nor targets, unless a
//! trusted proxy says it; and no name with an underscore passes for another.

use std::net::{IpAddr, Ipv4Addr};

use crate::harness::client::{handshake, header};
use crate::harness::edge::body_of;
use crate::harness::http2::{Http2, get, websocket};
use crate::harness::{Config, Connection, Edge, Target};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const LIE: &str = "192.0.2.66";
/// Of each kind some.
const LIES: [&str; 22] = [
    "X-Real-IP",
    "X-Forwarded",
    "X-Forwarded-Port",
    "X-Forwarded-Whatever",
    "Forwarded",
    "X-Client-IP",
    "True-Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-ProxyUser-Ip",
    "X-Envoy-External-Address",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-Host",
    "X-Original-Forwarded-For",
    "Front-End-Https",
    "X-Url-Scheme",
    "Proxy",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-SSL-Client-Verify",
];
/// What is nobody's but the client's.
const OWN: &str = "X-Tag: own\r\nX-HTTP-Method-Override: PUT\r\n";

/// A configuration with more keys for its forwarding rule.
fn with(keys: &str, target: &Target) -> Config {
    let config = Config::forwarding_to(&[target.address]).rule("h2c: true");
    config.rule(keys)
}

fn lines(names: &[&str]) -> String {
    let line = |name: &&str| format!("{name}: {LIE}\r\n");
    names.iter().map(line).collect()
}

/// A GET with these lines.
fn asking(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n")
}

/// Which of these headers are in a head.
fn found<'a>(head: &str, names: &[&'a str]) -> Vec<&'a str> {
    let is_there = |name: &&&str| header(head, name).is_some();
    names.iter().filter(is_there).copied().collect()
}

#[tokio::test]
async fn what_strangers_say_in_the_name_of_proxies_does_not_reach_the_target() {
    let (shows, mirror) = (Target::showing().await, Target::mirror().await);
    let edge = Edge::start(&with("", &shows)).await;
    let shown = edge.request(&asking(&(lines(&LIES) + OWN))).await;
    assert!(!shown.text().contains(LIE), "{}", shown.text());
    assert_eq!(header(shown.text(), "x-tag"), Some("own"));
    assert_eq!(header(shown.text(), "x-http-method-override"), Some("PUT"));

    let mut request = get("/");
    for name in LIES {
        let name = name.to_lowercase().parse::<http::HeaderName>().unwrap();
        request.headers_mut().insert(name, LIE.parse().unwrap());
    }
    let headers = request.headers().clone();
    let shown = Http2::connect(edge.address).await.ask(request, "").await;
    assert!(!shown.text().contains(LIE), "{}", shown.text());

    let edge = Edge::start(&with("", &mirror)).await;
    let mut client = edge.connect().await;
    client.send(handshake("/chat", &lines(&LIES))).await;
    client.head().await;
    let mut request = websocket("/");
    request.headers_mut().extend(headers);
    let (_stream, answer) = Http2::connect(edge.address).await.begin(request).await;
    assert_eq!(answer.status(), 200);
    for head in mirror.heads() {
        assert!(!head.contains(LIE), "{head}");
    }
    assert_eq!(mirror.heads().len(), 2);
}

#[tokio::test]
async fn what_a_trusted_proxy_says_passes_and_forwarded_is_extended() {
    let target = Target::showing().await;
    let edge = Edge::start(&with("trustedProxies: [127.0.0.1]", &target)).await;
    let forwarded = "Forwarded: for=192.0.2.1\r\nForwarded: for=192.0.2.2;proto=https\r\n";
    let names = LIES.map(|name| {
        if name == "Forwarded" {
            "X-Scheme"
        } else {
            name
        }
    });
    let request = asking(&(lines(&names) + forwarded));

    let shown = edge.request(&request).await;
    assert_eq!(found(shown.text(), &names), names);
    assert_eq!(
        header(shown.text(), "forwarded"),
        Some("for=192.0.2.1, for=192.0.2.2;proto=https, for=127.0.0.1")
    );

    let mut client = Connection::open_from(CLIENT, edge.address).await;
    client.send(&request).await;
    let shown = client.answer_to_end().await;
    assert_eq!(found(shown.text(), &names), [""; 0]);
    assert_eq!(header(shown.text(), "forwarded"), None);
}

#[tokio::test]
async fn no_condition_sees_it_and_explain_knows() {
    let target = Target::answering("let in").await;
    let condition = "{type: HEADER, key: X-Real-IP, condition: EXISTS}";
    let configuration = with("trustedProxies: [127.0.0.2]", &target)
        .http_rule(&format!("conditions: [{condition}]"));
    let edge = Edge::start(&configuration).await;
    let request = asking("X-Real-IP: 192.0.2.1\r\n");
    assert_eq!(edge.request(&request).await.status, 404);
    let mut proxy = Connection::open_from(CLIENT, edge.address).await;
    proxy.send(&request).await;
    assert_eq!(proxy.answer_to_end().await.text(), "let in");

    for (client, expected) in [("127.0.0.1", "null"), ("127.0.0.2", "\"all\"")] {
        let sample = format!(
            "{{\"path\": \"/\", \"headers\": {{\"X-Real-IP\": \"1\"}}, \"clientIp\": \"{client}\"}}"
        );
        let told = explained(&edge, &sample).await;
        assert_eq!(told["matched"].to_string(), expected, "{told}");
    }
}

async fn explained(edge: &Edge, sample: &str) -> serde_json::Value {
    let mut admin = Connection::open(edge.admin).await;
    let request = format!(
        "POST /api/v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{sample}",
        sample.len()
    );
    admin.send(request).await;
    let answer = admin.answer_to_end().await;
    body_of(&format!("\r\n\r\n{}", answer.text()))
}

#[tokio::test]
async fn names_with_underscores_are_dropped_unless_the_rule_lets_them_pass() {
    let target = Target::showing().await;
    let own = ["X_Tag", "api_key"];
    let disguised = [
        "X_Edge_Secret",
        "X-Edge.Secret",
        "X_Gone",
        "X_Real_IP",
        "X.Real.IP",
        "X_Forwarded-For",
        "X_Forwarded_Whatever",
        "X_Client_Certificate_Verify",
        "X_Request_Id",
        "Content_Length",
        "Transfer_Encoding",
    ];
    let request = asking(&(lines(&own) + &lines(&disguised)));
    let changes = "headers: {request: {set: {X-Edge-Secret: ours}, remove: [X-Gone]}}";
    for (keys, passed) in [
        ("", &[][..]),
        ("trustedProxies: [127.0.0.1]", &[]),
        ("underscoresInHeaders: true", &own),
        (
            "underscoresInHeaders: true, trustedProxies: [127.0.0.1]",
            &own,
        ),
    ] {
        let configuration = with(keys, &target).http_rule(changes);
        let edge = Edge::start(&configuration).await;
        let shown = edge.request(&request).await;
        assert_eq!(found(shown.text(), &own), passed, "{keys}");
        assert_eq!(found(shown.text(), &disguised), [""; 0], "{keys}");
        assert_eq!(header(shown.text(), "x-edge-secret"), Some("ours"));
    }
}

#[tokio::test]
async fn connection_takes_nothing_back_that_a_proxy_says() {
    let target = Target::showing().await;
    let edge = Edge::start(&with("trustedProxies: [127.0.0.1]", &target)).await;
    for (named, status) in [
        ("X-Forwarded-For", 400),
        ("x-real-ip", 400),
        ("X-Forwarded-Port", 400),
        ("X-Request-Id, X-Client-Certificate-Verify", 400),
        ("X-Request-Id, X-Tag", 200),
    ] {
        let said = format!("X-Real-IP: {LIE}\r\nX-Tag: a\r\nConnection: {named}\r\n");
        let answer = edge.request(&asking(&said)).await;
        assert_eq!(answer.status, status, "{named}");
        if status == 200 {
            assert_eq!(header(answer.text(), "x-real-ip"), Some(LIE));
            assert!(header(answer.text(), "x-request-id").is_some());
            assert_eq!(header(answer.text(), "x-tag"), None);
        }
    }
}
