//! One line for each exchange, when it is over.

use serde_json::Value;

use crate::harness::client::HANDSHAKE;
use crate::harness::target::refusing;
use crate::harness::{Connection, Edge, Target, eventually};

#[tokio::test]
async fn a_plain_request_leaves_a_line_with_its_bytes() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let request = "POST /a?b=1&token=s3cret HTTP/1.1\r\nHost: Example.com:8080\r\nUser-Agent: test\r\n\
        Referer: http://e/?password=s3cret\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";

    let answer = edge.request(request).await;

    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let line = edge.log_line().await;
    assert_eq!(line["forwardingRule"], "edge");
    assert_eq!(line["httpRule"], "all");
    assert_eq!(line["clientIp"], "127.0.0.1");
    assert_eq!(line["httpVersion"], "HTTP/1.1");
    assert_eq!(line["httpMethod"], "POST");
    assert_eq!(line["hostName"], "Example.com");
    assert_eq!(line["requestUri"], "/a?b=1&token=<redacted>");
    assert_eq!(line["userAgent"], "test");
    assert_eq!(line["referer"], "http://e/?password=<redacted>");
    assert_eq!(line["httpStatusCode"], 200);
    assert_eq!(line["targetGroup"], "group");
    assert_eq!(line["target"], target.address.to_string());
    assert_eq!(line["requestHeaderBytes"], request.len() - 3);
    assert_eq!(line["requestBodyBytes"], 3);
    assert_eq!(line["responseHeaderBytes"], answer.head.len());
    assert_eq!(line["responseBodyBytes"], 5);
    assert_eq!(line["closeReason"], "completed");
    for absent in ["upgrade", "closeCode", "error", "tlsProtocol"] {
        assert_eq!(line.get(absent), None, "{absent}");
    }
    for duration in ["durationMs", "targetConnectMs", "targetLatencyMs"] {
        assert!(
            line[duration].as_f64().is_some_and(|millis| millis > 0.0),
            "{duration}"
        );
    }
}

#[tokio::test]
async fn a_tunnel_leaves_its_line_after_its_close_with_its_true_duration() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(5).await;
        connection.send("12345678").await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let began = std::time::Instant::now();
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    client.head().await;
    client.send("hello").await;
    client.exactly(8).await;
    eventually("the tunnel is counted", || {
        let labels = format!(
            "forwarding_rule=\"edge\",target=\"{}\",target_group=\"group\"",
            target.address
        );
        (edge.metric(&format!("tunnels_active{{{labels}}}")) == 1.0).then_some(())
    })
    .await;
    assert!(edge.log().is_empty(), "a line before the close");
    let open = began.elapsed();

    client.finish().await;

    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 101);
    assert_eq!(line["upgrade"], "websocket");
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["requestBodyBytes"], 5);
    assert_eq!(line["responseBodyBytes"], 8);
    let duration = line["durationMs"].as_f64().unwrap();
    let longest = began.elapsed().as_secs_f64() * 1000.0;
    assert!(
        duration <= longest && duration + 50.0 >= open.as_secs_f64() * 1000.0,
        "{duration} of {longest}"
    );
    assert_eq!(
        edge.metric("tunnel_duration_seconds_count{forwarding_rule=\"edge\"}"),
        1.0
    );
}

#[tokio::test]
async fn what_pingora_answers_before_an_exchange_exists_leaves_its_line_too() {
    let edge = Edge::forwarding_to(&[refusing()]).await;
    for (request, status, reason, error) in [
        (
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            400,
            "refused",
            "malformed request head",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            405,
            "refused",
            "CONNECT is not served",
        ),
    ] {
        let before = edge.log().len();
        assert_eq!(edge.request(request).await.status, status);
        let line = edge.log_lines(before + 1).await.remove(before);
        assert_eq!(line["httpStatusCode"], status);
        assert_eq!(line["closeReason"], reason);
        assert_eq!(line["error"], error);
        assert_eq!(line["requestHeaderBytes"], request.len());
        assert!(line["responseHeaderBytes"].as_u64().unwrap() > 0);
    }

    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\n").await;
    client.finish().await;
    client.to_end().await;
    let line = edge.log_lines(3).await.remove(2);
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line.get("httpStatusCode"), None::<&Value>);
}
