//! A CONNECT that is refused leaves a line that tells what was asked, in either version of HTTP; a
//! WebSocket's is not refused.

use h2::ext::Protocol;
use http::Request;

use crate::harness::http2::{Http2, websocket};
use crate::harness::{Config, Edge, Target};

async fn start() -> (Target, Edge) {
    let target = Target::echo().await;
    let configuration = Config::forwarding_to(&[target.address]).rule("h2c: true");
    let edge = Edge::start(&configuration).await;
    (target, edge)
}

#[tokio::test]
async fn a_refused_connect_of_http_1_1_is_logged_with_what_it_asked_for() {
    let (_target, edge) = start().await;
    let connect =
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: x/1\r\n\r\n";
    assert_eq!(edge.request(connect).await.status, 405);
    let line = edge.log_line().await;
    assert_eq!(line["httpMethod"], "CONNECT", "{line}");
    assert_eq!(line["hostName"], "a.example");
    assert_eq!(line["requestUri"], "a.example:443");
    assert_eq!(line["httpVersion"], "HTTP/1.1");
    assert_eq!(line["userAgent"], "x/1");
    assert_eq!(line["error"], "CONNECT is not served");
    edge.refused("connect_method", 1).await;
}

#[tokio::test]
async fn a_refused_connect_of_http_2_is_logged_with_what_it_asked_for() {
    let (_target, edge) = start().await;
    let mut client = Http2::connect(edge.address).await;
    let plain = Request::connect("a.example:443").body(()).unwrap();
    let other = Request::connect("http://a.example/masque?token=s3cret")
        .extension(Protocol::from_static("connect-udp"))
        .body(())
        .unwrap();
    for (number, (request, uri)) in [
        (plain, "a.example:443"),
        (other, "/masque?token=<redacted>"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(client.ask(request, "").await.status(), 405);
        let line = edge.log_lines(number + 1).await.remove(number);
        assert_eq!(line["httpMethod"], "CONNECT", "{line}");
        assert_eq!(line["hostName"], "a.example");
        assert_eq!(line["requestUri"], uri);
        assert_eq!(line["httpVersion"], "HTTP/2");
        assert_eq!(line["httpStatusCode"], 405);
        assert!(line["requestHeaderBytes"].as_u64().unwrap() > 0, "{line}");
    }
    edge.refused("connect_method", 2).await;
}

#[tokio::test]
async fn a_websocket_may_be_written_in_any_case() {
    let (_target, edge) = start().await;
    let mut client = Http2::connect(edge.address).await;
    for name in ["WebSocket", "WEBSOCKET"] {
        let mut request = websocket("/chat");
        request.extensions_mut().insert(Protocol::from_static(name));
        let (_stream, head) = client.begin(request).await;
        assert_eq!(head.status(), 200, "{name}");
    }
}
