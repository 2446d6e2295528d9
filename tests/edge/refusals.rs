//! Every answer of ours to what is refused has the same form, whatever refuses it: a short text,
//! its length, and nobody's name.

use http::{HeaderMap, Request};

use crate::harness::client::{HANDSHAKE, handshake};
use crate::harness::http2::{Http2, get, websocket};
use crate::harness::target::refusing;
use crate::harness::tls::start as start_tls;
use crate::harness::{Answer, Authority, Config, Connection, Edge, Target};

const RULES: &str = "
    - {name: no, type: FORWARD, targetGroup: no, conditions: [{type: PATH, condition: EQUALS, value: /no}]}
    - {name: origin, type: FORWARD, targetGroup: group, allowedOrigins: [\"https://a\"],
       conditions: [{type: PATH, condition: EQUALS, value: /origin}]}";
const BOUNDS: &str = "clientTimeout: 1000, h2c: true, maxHeaderBytes: 1000, maxHeaders: 9,
    maxRequestBodyBytes: 50, maxHandshakesPerSecond: 1";

/// A target that breaks off, or is silent for `/silent`, or waits for bodies.
async fn start() -> (Target, Edge) {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection.body(&head).await;
        if head.contains(" /silent ") {
            connection.has_more().await;
        }
    })
    .await;
    let edge = Config::forwarding_to(&[target.address])
        .rule(BOUNDS)
        .group("responseTimeout: 300")
        .http_rule("conditions: [{type: PATH, condition: EQUALS, value: /none, negate: true}]")
        .http_rules(RULES)
        .add_group("no")
        .target(refusing(), "healthCheckEnabled: false");
    (target, Edge::start(&edge).await)
}

fn assert_form(
    what: &str,
    status: u16,
    field: impl Fn(&'static str) -> Option<String>,
    body: &str,
) {
    let text = format!("{status} ");
    let is_line = body.starts_with(&text) && body.ends_with('\n') && body.lines().count() == 1;
    assert!(is_line && body.len() < 120, "{what}: {body:?}");
    assert_eq!(
        field("content-type").as_deref(),
        Some("text/plain; charset=utf-8"),
        "{what}"
    );
    assert_eq!(
        field("content-length"),
        Some(body.len().to_string()),
        "{what}"
    );
    assert_eq!(
        field("cache-control").as_deref(),
        Some("no-store"),
        "{what}"
    );
    assert_eq!(field("server"), None, "{what}");
    assert!(field("date").is_some(), "{what}");
    assert_eq!(field("allow").is_some(), status == 405, "{what}");
    let has_version = field("sec-websocket-version").as_deref() == Some("13");
    assert_eq!(has_version, status == 426, "{what}");
    assert_eq!(field("retry-after").is_some(), status == 429, "{what}");
}

fn assert_form_in_http1(what: &str, expected: u16, answer: &Answer) {
    assert_eq!(answer.status, expected, "{what}");
    let field = |name| answer.header(name).map(str::to_owned);
    assert_form(what, expected, field, answer.text());
    let (upgrade, connection) = match expected {
        426 => (Some("websocket"), "upgrade, close"),
        _ => (None, "close"),
    };
    assert_eq!(answer.header("upgrade"), upgrade, "{what}");
    assert_eq!(answer.header("connection"), Some(connection), "{what}");
}

fn requests() -> Vec<(u16, String)> {
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
    };
    let post = |more: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{more}");
    vec![
        (400, get("/a b", "")),
        (400, get("/a#b", "")),
        (400, get("/", "no colon\r\n")),
        (400, get("/", "Host: a\r\n")),
        (400, get("http://u@a/", "")),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, post("Content-Length: 2, 2\r\n\r\nhi")),
        (400, post("Transfer-Encoding: chunked\r\n\r\nx\r\n")),
        (400, HANDSHAKE.replace("dGhl", "!")),
        (403, handshake("/origin", "")),
        (404, get("/none", "")),
        (405, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned()),
        (408, "GET / HTTP/1.1\r\nHost".to_owned()),
        (408, post("Content-Length: 2\r\n\r\nh")),
        (413, post("Content-Length: 51\r\n\r\n")),
        (426, HANDSHAKE.replace("Version: 13", "Version: 8")),
        (431, get(&format!("/{}", "a".repeat(1000)), "")),
        (431, get("/", &"X-A: b\r\n".repeat(9))),
        (502, get("/", "")),
        (503, get("/no", "")),
        (504, get("/silent", "")),
    ]
}

#[tokio::test]
async fn every_refusal_in_http_1_1_has_the_same_form() {
    let (_target, edge) = start().await;
    for (expected, request) in requests() {
        let answer = edge.request(&request).await;
        assert_form_in_http1(&request, expected, &answer);
    }
    let mut late = edge.request(HANDSHAKE).await;
    while late.status != 429 {
        let close = HANDSHAKE.replace("Upgrade\r\nUp", "Upgrade, close\r\nUp");
        late = edge.request(&close).await;
    }
    assert_form_in_http1("a handshake too many", 429, &late);
}

#[tokio::test]
async fn a_refusal_to_a_head_has_no_body() {
    let (_target, edge) = start().await;
    for request in [
        "HEAD / HTTP/1.1\r\nno colon\r\n\r\n",
        "HEAD /a b HTTP/1.1\r\n\r\n",
        "HEAD / HTTP/1.1\r\n\r\n",
    ] {
        let answer = edge.request(request).await;
        assert_eq!((answer.status, answer.text()), (400, ""), "{request}");
        assert!(
            answer
                .header("content-length")
                .is_some_and(|length| length != "0")
        );
    }
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_refused_in_that_form() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = start_tls(&authority, "", &target).await;
    assert_form_in_http1("plain HTTP", 400, &edge.get("/").await);
}

#[tokio::test]
async fn every_refusal_in_http_2_has_that_form_and_a_connect_has_its_head() {
    let (_target, edge) = start().await;
    let mut client = Http2::connect(edge.address).await;
    let post = |length: usize| Request::post("http://a/").header("content-length", length);
    let many = |mut request: Request<()>| {
        let values =
            (0..9).map(|number| format!("x-{number}").parse::<http::HeaderName>().unwrap());
        let fields: HeaderMap = values.map(|name| (name, "b".parse().unwrap())).collect();
        request.headers_mut().extend(fields);
        request
    };
    let mut origin = websocket("/origin");
    origin
        .headers_mut()
        .insert("origin", "https://b".parse().unwrap());
    let mut version = websocket("/");
    version
        .headers_mut()
        .insert("sec-websocket-version", "8".parse().unwrap());
    for (expected, request, body) in [
        (403, origin, ""),
        (404, get("/none"), ""),
        (413, post(51).body(()).unwrap(), "x"),
        (426, version, ""),
        (431, many(get("/")), ""),
        (431, get(&format!("/{}", "a".repeat(1000))), ""),
        (502, get("/"), ""),
        (503, get("/no"), ""),
        (504, get("/silent"), ""),
    ] {
        let what = format!("{request:?}");
        let (stream, head) = match body {
            "" if request.method() != "CONNECT" => client.open(request).await,
            _ => client.begin(request).await,
        };
        assert_eq!(head.status(), expected, "{what}");
        let field = |name: &str| Some(head.headers().get(name)?.to_str().unwrap().to_owned());
        let body = Connection::over(stream).to_end().await;
        assert_form(&what, expected, field, std::str::from_utf8(&body).unwrap());
        for name in ["connection", "upgrade"] {
            assert_eq!(head.headers().get(name), None, "{what}");
        }
    }
    let connect = Request::connect("a:1").body(()).unwrap();
    let (_, head) = client.open(connect).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["cache-control"]),
        (405, &"no-store".parse().unwrap())
    );
    assert!(head.headers().contains_key("allow") && !head.headers().contains_key("server"));
}
