//! WebSockets over HTTP/2 (RFC 8441) take the road of all others, and share a connection and
//! nothing else. The clients are h2 and Python's h2.

use std::time::Duration;

use h2::Reason;
use http::Request;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::harness::client::{GOING_AWAY, header};
use crate::harness::http2::{Http2, clear, get, start, websocket};
use crate::harness::python;
use crate::harness::target::{ok, switching_protocols};
use crate::harness::tls::{HOST, start as start_tls};
use crate::harness::{Authority, Connection, Edge, Target, soon};

pub fn reason(line: &Value) -> &str {
    line["closeReason"].as_str().unwrap()
}

#[tokio::test]
async fn pythons_h2_has_several_tunnels_on_one_connection() {
    let (authority, target) = (Authority::new(), Target::echo().await);
    let in_tls = start_tls(&authority, "", &target).await;
    let in_clear = start(&target, "").await;
    let ca = authority.file("ca.crt");
    for (edge, tls) in [
        (&in_clear, [].as_slice()),
        (&in_tls, &[ca.to_str().unwrap(), HOST]),
    ] {
        let mut client = python("http2_client.py");
        client.arg(edge.address.to_string()).arg("4").args(tls);
        let output = soon("the client's end", client.output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the client said:\n{said}");
        let lines = edge.log_lines(4).await;
        for line in &lines {
            assert_eq!(line["httpVersion"], "HTTP/2");
            assert_eq!(line["httpStatusCode"], 200);
            assert_eq!(line["upgrade"], "websocket");
            assert_eq!(line["clientPort"], lines[0]["clientPort"]);
        }
        let reasons: Vec<_> = lines.iter().map(reason).collect();
        assert_eq!(
            reasons,
            [
                "client_closed",
                "client_closed",
                "client_closed",
                "client_error"
            ]
        );
    }
}

#[tokio::test]
async fn a_websocket_takes_the_road_of_an_http_1_1_handshake() {
    let target = Target::named("target").await;
    let conditions = "conditions: [
          {type: METHOD, condition: EQUALS, value: GET},
          {type: HOST, condition: EQUALS, value: a.example},
          {type: PATH, condition: STARTS_WITH, value: /chat},
          {type: COOKIE, condition: EQUALS, key: second, value: '2'},
          {type: HEADER, condition: EQUALS, key: Connection, value: upgrade},
          {type: HEADER, condition: EQUALS, key: Upgrade, value: websocket}]";
    let configuration = clear(target.address, "").http_rule(conditions);
    let edge = Edge::start(&configuration).await;
    let mut client = Http2::connect(edge.address).await;
    let mut request = websocket("/chat?token=secret");
    for (name, value) in [
        ("cookie", "first=1"),
        ("cookie", "second=2"),
        ("x-forwarded-for", "192.0.2.1"),
        ("origin", "https://a.example"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let (stream, head) = client.begin(request).await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["x-target"], "target");
    for name in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!head.headers().contains_key(name), "{head:?}");
    }
    let mut tunnel = Connection::over(stream);
    tunnel.say_hi().await;
    drop(tunnel);

    let told = target.heads().remove(0);
    assert!(
        told.starts_with("GET /chat?token=secret HTTP/1.1\r\n"),
        "{told}"
    );
    for (name, value) in [
        ("host", "a.example"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("cookie", "first=1; second=2"),
        ("sec-websocket-version", "13"),
        ("x-forwarded-for", "127.0.0.1"),
        ("origin", "https://a.example"),
    ] {
        assert_eq!(header(&told, name), Some(value), "{told}");
    }
    assert_eq!(header(&told, "sec-websocket-key").unwrap().len(), 24);
    let line = edge.log_line().await;
    assert_eq!(line["httpMethod"], "GET");
    assert_eq!(line["hostName"], "a.example");
    assert_eq!(line["requestUri"], "/chat?token=<redacted>");
    assert_eq!(line["framesIn"], 1);
    assert_eq!(edge.tunnels_active(target.address), 0.0);
}

#[tokio::test]
async fn plain_requests_and_tunnels_share_a_connection() {
    let target = Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            if header(&head, "upgrade").is_some() {
                connection.send(switching_protocols(&head)).await;
                return connection.echo_messages().await;
            }
            let body = connection.body(&head).await;
            let body = String::from_utf8(body).unwrap();
            connection.send(ok(&format!("{head}{body}"))).await;
        }
    })
    .await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let mut tunnel = client.tunnel("/chat").await;
    let mut request = get("/page");
    for cookie in ["a=1", "b=2"] {
        request
            .headers_mut()
            .append("cookie", cookie.parse().unwrap());
    }
    let reply = client.ask(request, "").await;
    let head = reply.text().to_owned();
    assert!(head.starts_with("GET /page HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("a.example"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("a.example"));
    assert_eq!(header(&head, "cookie"), Some("a=1; b=2"));
    let long = "x".repeat(100_000);
    let post = Request::post("http://a.example/post").body(()).unwrap();
    let reply = client.ask(post, &long).await;
    assert!(reply.text().ends_with(&long));
    tunnel.say_hi().await;
    for line in edge.log_lines(2).await {
        assert_eq!(line["httpVersion"], "HTTP/2");
        assert_eq!(reason(&line), "completed");
        assert!(line["requestHeaderBytes"].as_u64().unwrap() > 30, "{line}");
    }
    assert_eq!(edge.log()[1]["requestBodyBytes"], 100_000);
    let open = edge.metric("connections_active{forwarding_rule=\"edge\"}");
    assert_eq!(open, 1.0);
}

#[tokio::test]
async fn a_frame_of_the_stream_means_what_its_counterpart_on_a_socket_means() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection.send(switching_protocols(&head)).await;
        match head.split(' ').nth(1).unwrap() {
            "/target-fin" => {
                connection.finish().await;
                connection.to_end().await;
            }
            "/target-reset" => connection.reset(),
            _ => {
                connection.to_end().await;
                connection.send("heard").await;
            }
        }
    })
    .await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;

    let mut fin = client.tunnel("/client-fin").await;
    fin.finish().await;
    assert_eq!(fin.to_end().await, b"heard");

    let mut reset = client.tunnel("/client-reset").await;
    reset.stream.reset(Reason::CANCEL);

    let mut ended = client.tunnel("/target-fin").await;
    assert_eq!(ended.to_end().await, b"");
    ended.finish().await;

    let mut broken = client.tunnel("/target-reset").await;
    broken.to_end().await;

    let _open = client.tunnel("/gone-with-the-connection").await;
    edge.log_lines(4).await;
    client.close().await;

    let lines = edge.log_lines(5).await;
    for (path, expected) in [
        ("/client-fin", "client_closed"),
        ("/client-reset", "client_error"),
        ("/target-fin", "target_closed"),
        ("/target-reset", "target_error"),
        ("/gone-with-the-connection", "client_closed"),
    ] {
        let line = lines
            .iter()
            .find(|line| line["requestUri"] == path)
            .unwrap();
        assert_eq!(reason(line), expected, "{line}");
    }
}

#[tokio::test]
async fn a_tunnel_that_nobody_reads_stops_its_sender_and_no_other() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection.send(switching_protocols(&head)).await;
        if head.starts_with("GET /deaf ") {
            return std::future::pending().await;
        }
        connection.echo_messages().await;
    })
    .await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let mut deaf = client.tunnel("/deaf").await;
    let sent = async {
        let mut sent = 0;
        // Ends when a write waits for longer than another tunnel's echo takes.
        while tokio::time::timeout(Duration::from_secs(1), deaf.stream.write_all(&[0; 10_000]))
            .await
            .is_ok()
        {
            sent += 10_000;
        }
        sent
    };
    let sent = soon("the sender is stopped", sent).await;
    assert!(
        sent < 20 << 20,
        "{sent} bytes were taken for a target that reads nothing"
    );
    client.tunnel("/other").await.say_hi().await;
}

#[tokio::test]
async fn many_bytes_pass_unchanged_in_both_directions() {
    let target = Target::mirror().await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let mut tunnels = Vec::new();
    for number in 0..3 {
        let tunnel = client.tunnel("/chat").await;
        tunnels.push(tokio::spawn(async move {
            let mut tunnel = tunnel;
            let mut noise = crate::harness::Noise::seeded(number);
            let bytes = noise.bytes(3 << 20);
            let back = tunnel.swap(&bytes, bytes.len(), &mut noise).await;
            assert!(back == bytes);
        }));
    }
    for tunnel in tunnels {
        soon("all bytes are back", tunnel).await.unwrap();
    }
}

#[tokio::test]
async fn a_target_may_decline_with_a_body() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection
            .send(match head.split(' ').nth(1).unwrap() {
                "/sized" => "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nsized",
                "/chunked" => {
                    "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nchu\r\n4\r\nnked\r\n0\r\n\r\n"
                }
                _ => "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nto the end",
            })
            .await;
    })
    .await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    for (path, body) in [
        ("/sized", "sized"),
        ("/chunked", "chunked"),
        ("/close", "to the end"),
    ] {
        let (stream, head) = client.begin(websocket(path)).await;
        assert_eq!(head.status(), 403, "{path}");
        assert!(!head.headers().contains_key("transfer-encoding"));
        let mut stream = Connection::over(stream);
        assert_eq!(stream.to_end().await, body.as_bytes(), "{path}");
    }
    for line in edge.log_lines(3).await {
        assert_eq!(line["httpStatusCode"], 403);
        assert!(line["upgrade"].is_null(), "{line}");
    }
}

#[tokio::test]
async fn what_a_client_would_take_for_a_tunnel_is_none() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection
            .send(match head.split(' ').nth(1).unwrap() {
                "/success" => ok("no upgrade"),
                _ => switching_protocols(&head).replace("Accept: ", "Accept: A"),
            })
            .await;
        connection.to_end().await;
    })
    .await;
    let rule = "{name: page, type: STATIC, statusCode: 200, responseMessage: hi, conditions: [{type: PATH, condition: EQUALS, value: /page}]}";
    let configuration = clear(target.address, "").http_rules(rule);
    let edge = Edge::start(&configuration).await;
    let mut client = Http2::connect(edge.address).await;
    for (path, expected) in [("/success", 502), ("/accept", 502), ("/page", 400)] {
        let (_, head) = client.begin(websocket(path)).await;
        assert_eq!(head.status(), expected, "{path}");
    }
    assert_eq!(client.ask(get("/page"), "").await.text(), "hi");
}

#[tokio::test]
async fn an_idle_tunnel_gets_a_close_frame_and_its_neighbours_do_not() {
    let target = Target::named("target").await;
    let edge = start(&target, "tunnel: {idleTimeout: 500}").await;
    let mut client = Http2::connect(edge.address).await;
    let mut idle = client.tunnel("/idle").await;
    idle.is_ended_with(GOING_AWAY).await;
    assert_eq!(reason(&edge.log_line().await), "idle_timeout");
    client.tunnel("/other").await.say_hi().await;
}
