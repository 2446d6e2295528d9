//! The limits on requests and the lists of origins hold in HTTP/2 as they do in HTTP/1.1.

use crate::harness::http2::{Http2, get, websocket};
use crate::harness::{Config, Edge, Target, soon};

async fn start(target: &Target, keys: &str, rule_keys: &str) -> Edge {
    let config = Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .rule(keys)
        .http_rule(rule_keys);
    Edge::start(&config).await
}

#[tokio::test]
async fn a_head_and_a_body_in_http_2_may_be_as_large_as_in_http_1_1() {
    let target = Target::answering("hello").await;
    let keys = "maxHeaders: 10, maxHeaderBytes: 1000, maxRequestBodyBytes: 100";
    let edge = start(&target, keys, "").await;
    let mut client = Http2::connect(edge.address).await;
    let mut many = get("/many");
    for number in 0..12 {
        let name = format!("x-{number}").parse::<http::HeaderName>().unwrap();
        many.headers_mut().insert(name, "y".parse().unwrap());
    }
    let mut large = get("/large");
    large
        .headers_mut()
        .insert("x", "y".repeat(1000).parse().unwrap());
    for (request, body, expected) in [
        (get("/"), "", 200),
        (many, "", 431),
        (large, "", 431),
        (get("/body"), &"x".repeat(101)[..], 413),
        (get("/"), "", 200),
    ] {
        assert_eq!(client.ask(request, body).await.status(), expected);
    }
}

#[tokio::test]
async fn a_websocket_in_http_2_is_asked_for_its_origin_and_counted() {
    let target = Target::named("target").await;
    let origins = "allowedOrigins: [\"https://app.example.com\"]";
    let edge = start(&target, "maxHandshakesPerSecondPerClient: 3", origins).await;
    let mut client = Http2::connect(edge.address).await;
    let from = |origin: Option<&str>| {
        let mut request = websocket("/chat");
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
        }
        request
    };
    for (origin, expected) in [
        (None, 403),
        (Some("https://evil.example"), 403),
        (Some("https://app.example.com"), 200),
    ] {
        let (_stream, answer) = client.begin(from(origin)).await;
        assert_eq!(answer.status(), expected, "{origin:?}");
    }
    soon("a handshake too many", async {
        loop {
            let (_stream, answer) = client.begin(from(Some("https://app.example.com"))).await;
            match answer.status().as_u16() {
                429 => break,
                status => assert_eq!(status, 200),
            }
        }
    })
    .await;
}
