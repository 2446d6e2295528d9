//! HTTP/2 from clients: WebSockets over it (RFC 8441) take the road of all others, streams share a
//! connection and nothing else, and what no decent client does ends with a GOAWAY. The clients are
//! h2, Python's h2, curl, nghttp and Chromium.

use std::process::Stdio;
use std::time::Duration;

use h2::Reason;
use http::Request;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::client::{HANDSHAKE, header, status};
use crate::harness::http2::{
    CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, Http2, PING, RST_STREAM, SETTINGS,
    clear, frame, get, start, websocket,
};
use crate::harness::python;
use crate::harness::target::{ok, switching_protocols};
use crate::harness::tls::{HOST, start as start_tls};
use crate::harness::{
    Authority, Config, Connection, Edge, Target, eventually, eventually_or, soon,
};

const ENHANCE_YOUR_CALM: u32 = 11;
const MISUSE: &str = "refusals_total{forwarding_rule=\"edge\",reason=\"http2\"}";

fn reason(line: &Value) -> &str {
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
async fn any_other_connect_is_refused() {
    let target = Target::named("target").await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let mut other = websocket("/chat");
    let protocol = h2::ext::Protocol::from_static("connect-udp");
    other.extensions_mut().insert(protocol);
    let plain = Request::connect("a.example:443").body(()).unwrap();
    for request in [other, plain] {
        assert_eq!(client.ask(request, "").await.status(), 405);
    }
    let mut tunnel = client.tunnel("/chat").await;
    tunnel.say_hi().await;
    for line in edge.log_lines(2).await {
        assert_eq!(line["httpStatusCode"], 405);
        assert_eq!(line["error"], "CONNECT is not served");
    }
    let refused = edge.metric("refusals_total{forwarding_rule=\"edge\",reason=\"connect_method\"}");
    assert_eq!(refused, 2.0);
    assert_eq!(target.connections(), 1);
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
async fn curl_is_served_with_and_without_tls() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let in_tls = start_tls(&authority, "", &target).await;
    let in_clear = start(&target, "").await;
    let ca = authority.file("ca.crt");
    let secure = format!("https://{HOST}:{}/", in_tls.address.port());
    let resolve = format!("{HOST}:{}:127.0.0.1", in_tls.address.port());
    let plain = format!("http://{}/", in_clear.address);
    let secure = [
        "--http2",
        "--cacert",
        ca.to_str().unwrap(),
        "--resolve",
        &resolve,
        &secure,
    ];
    for (arguments, version) in [
        (secure.as_slice(), "2"),
        (&["--http2-prior-knowledge", &plain], "2"),
        (&["--http1.1", &plain], "1.1"),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-w", " %{http_version} %{http_code}"])
            .args(arguments);
        let said = soon("curl", curl.output()).await.unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said, format!("hello {version} 200"), "{arguments:?}");
    }
}

#[tokio::test]
async fn nghttp_is_served_and_told_of_websockets() {
    let target = Target::answering("hello").await;
    let edge = start(&target, "").await;
    let mut nghttp = Command::new("nghttp");
    nghttp.arg("-v").arg(format!("http://{}/", edge.address));
    let output = soon("nghttp", nghttp.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    for part in [
        "SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1",
        ":status: 200",
        "hello",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn http_2_is_served_only_where_it_is_allowed() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let tls = start_tls(&authority, "http2: false", &target).await;
    let out = crate::harness::tls::s_client(tls.address, &["-alpn", "h2,http/1.1"]).await;
    assert!(out.contains("ALPN protocol: http/1.1"), "{out}");
    let plain = Edge::forwarding_to(&[target.address]).await;
    let mut client = plain.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 400);
}

#[tokio::test]
async fn without_tls_the_first_bytes_tell_however_they_arrive() {
    let target = Target::answering("hello").await;
    let edge = start(&target, "").await;
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = edge.connect().await;
        for byte in text.bytes() {
            client.send([byte]).await;
        }
        assert_eq!(client.answer().await.text(), "hello");
    }
    let mut client = edge.connect().await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.send([*byte]).await;
    }
    client.send(frame(SETTINGS, 0, 0, &[])).await;
    let answer = client.exactly(9).await;
    assert_eq!(answer[3], SETTINGS);
    let mut client = edge.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nBAD BYTES").await;
    assert_eq!(status(&client.head().await), 400);
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
async fn a_drain_says_goaway_and_ends_tunnels_as_elsewhere() {
    let target = Target::named("target").await;
    let edge = Edge::start(&clear(target.address, "").server("drain: {deadline: 5s}")).await;
    let mut client = Http2::connect(edge.address).await;
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        tunnels.push(client.tunnel("/chat").await);
    }
    let idle = Http2::connect(edge.address).await;
    edge.signal("TERM");
    client.is_sent_away().await;
    assert_eq!(idle.ended().await, None);
    for tunnel in &mut tunnels {
        tunnel.is_sent_away().await;
    }
    drop(tunnels);
    assert_eq!(client.ended().await, None);
    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!(
            (reason(line), &line["closeCode"]),
            ("drained", &1001.into())
        );
    }
}

#[tokio::test]
async fn a_connection_without_streams_is_told_to_go_after_client_timeout() {
    let target = Target::named("target").await;
    let edge = start(&target, "").await;
    let configuration = clear(target.address, "").rule("clientTimeout: 300");
    edge.reload(&configuration).await;
    let mut used = Http2::connect(edge.address).await;
    let mut tunnel = used.tunnel("/chat").await;
    let idle = Http2::connect(edge.address).await;
    assert_eq!(idle.ended().await, None);
    tunnel.say_hi().await;
    assert_eq!(used.ask(get("/"), "").await.text(), "target");
    drop(tunnel);
    used.is_sent_away().await;
}

#[tokio::test]
async fn a_listener_that_is_gone_says_goaway() {
    let (target, [other]) = (
        Target::named("target").await,
        crate::harness::edge::free_addresses(),
    );
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let mut tunnel = client.tunnel("/chat").await;
    let moved = clear(target.address, &format!("listenerPort: {}", other.port()));
    edge.reload(&moved).await;
    client.is_sent_away().await;
    tunnel.say_hi().await;
}

#[tokio::test]
async fn limits_hold_for_each_request() {
    let target = Target::named("target").await;
    let edge = start(
        &target,
        "maxRequestsPerSecondPerClient: 3, maxConcurrentStreams: 7",
    )
    .await;
    let mut client = Http2::connect(edge.address).await;
    assert_eq!(client.most_streams(), 7);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(client.ask(get("/"), "").await.status());
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
    let full = start(&target, "maxConnections: 1").await;
    let _held = full.tunnel().await;
    let mut client = Http2::connect(full.address).await;
    let reply = client.ask(get("/"), "").await;
    assert_eq!(reply.status(), 503);
    assert!(reply.head.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_body_that_stops_halfway_is_answered_with_408() {
    let target = Target::answering("hello").await;
    let configuration = clear(target.address, "").rule("clientTimeout: 1800");
    let edge = Edge::start(&configuration).await;
    let mut client = Http2::connect(edge.address).await;
    let post = Request::post("http://a.example/").body(()).unwrap();
    let (answer, mut sender) = client.send(post);
    sender
        .send_data(Bytes::from_static(b"half"), false)
        .unwrap();
    let head = soon("an answer", answer).await.unwrap();
    assert_eq!(head.status(), 408);
    let line = edge.log_line().await;
    assert_eq!(client.ask(get("/"), "").await.text(), "hello");
    assert_eq!(
        line["error"],
        "the request's body did not arrive within clientTimeout"
    );
}

#[tokio::test]
async fn a_client_that_gives_up_a_request_is_logged_as_closed() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection.to_end().await;
    })
    .await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let (answer, mut sender) = client.send(get("/slow"));
    eventually("the target is asked", || {
        (target.heads().len() == 1).then_some(())
    })
    .await;
    sender.send_reset(Reason::CANCEL);
    drop(answer);
    assert_eq!(reason(&edge.log_line().await), "client_closed");
}

#[tokio::test]
async fn an_idle_tunnel_gets_a_close_frame_and_its_neighbours_do_not() {
    let target = Target::named("target").await;
    let edge = start(&target, "tunnel: {idleTimeout: 500}").await;
    let mut client = Http2::connect(edge.address).await;
    let mut idle = client.tunnel("/idle").await;
    idle.is_sent_away().await;
    assert_eq!(reason(&edge.log_line().await), "idle_timeout");
    client.tunnel("/other").await.say_hi().await;
}

/// A request's header block: `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a` (RFC
/// 7541).
const GET_BLOCK: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

#[tokio::test]
async fn streams_that_are_opened_and_reset_without_end_end_with_a_goaway() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection.to_end().await;
    })
    .await;
    let edge = start(&target, "maxConcurrentStreams: 10").await;
    let mut client = Frames::connect(edge.address).await;
    let mut flood = Vec::new();
    for number in 0..2_000 {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &GET_BLOCK));
        flood.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    client.0.stream.write_all(&flood).await.ok();
    assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM));
    eventually("it is counted", || {
        (edge.metric(MISUSE) == 1.0).then_some(())
    })
    .await;
    let is_blamed = |line: &Value| {
        let error = line["error"].as_str();
        error.is_some_and(|error| error.starts_with("HTTP/2: "))
    };
    eventually("it is logged", || edge.log().into_iter().find(is_blamed)).await;
    assert!(
        target.connections() <= 40,
        "{} requests reached the target",
        target.connections()
    );
    assert_eq!(
        edge.request("garbage\r\n\r\n").await.status,
        400,
        "others are served"
    );
}

#[tokio::test]
async fn floods_of_other_frames_neither_end_nor_fill_the_process() {
    let target = Target::answering("hello").await;
    let edge = start(&target, "").await;
    let before = edge.resident_memory();
    let empty = frame(SETTINGS, 0, 0, &[]).repeat(1_000);
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
    let endless = [
        frame(HEADERS, 0, 1, &GET_BLOCK),
        frame(CONTINUATION, 0, 1, &[0x40, 1, b'x', 1, b'y'].repeat(3_000)).repeat(10),
    ]
    .concat();
    let empty_data = [
        frame(HEADERS, END_HEADERS, 1, &GET_BLOCK),
        frame(0, 0, 1, &[]).repeat(5_000),
    ]
    .concat();
    for flood in [empty, pings, endless, empty_data] {
        let mut client = Frames::connect(edge.address).await;
        // Nobody reads the answers, and the flood goes on until it is stopped.
        let flooding = async {
            for _ in 0..100 {
                let write = client.0.stream.write_all(&flood);
                if !matches!(
                    tokio::time::timeout(Duration::from_secs(1), write).await,
                    Ok(Ok(()))
                ) {
                    return;
                }
            }
        };
        soon("the flood is over", flooding).await;
    }
    assert_eq!(edge.get("/").await.text(), "hello");
    eventually_or("the memory is given back", || {
        let grown = edge.resident_memory().saturating_sub(before);
        let is_little = grown < 32 << 20;
        is_little
            .then_some(())
            .ok_or_else(|| format!("{grown} bytes more"))
    })
    .await;
}

#[tokio::test]
async fn chromium_has_its_websocket_on_the_connection_of_its_page() {
    let (authority, target) = (Authority::new(), Target::echo().await);
    let page = "<script>
        const socket = new WebSocket(`wss://${location.host}/chat`);
        socket.onopen = () => socket.send('grüße');
        socket.onmessage = event => fetch('/heard?' + encodeURIComponent(event.data));
        </script>";
    authority.issue("one", &[HOST]);
    let rule = format!(
        "{{name: page, type: STATIC, statusCode: 200, contentType: text/html; charset=utf-8,
            responseMessage: {},
            conditions: [{{type: HEADER, condition: EXISTS, key: Upgrade, negate: true}}]}}",
        serde_json::to_string(page).unwrap()
    );
    let config = Config::forwarding_to(&[target.address]).http_rules(&rule);
    let edge = Edge::start(&config.tls(&authority, &["one"])).await;
    let profile = tempfile::tempdir().unwrap();
    let _browser = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--ignore-certificate-errors",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--host-resolver-rules=MAP {HOST} 127.0.0.1"))
        .arg(format!("https://{HOST}:{}/", edge.address.port()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromium is there: `make test` installs it");
    let heard = eventually("the page has heard its echo", || {
        let lines = edge.log();
        let heard = |line: &Value| {
            line["requestUri"]
                .as_str()
                .is_some_and(|uri| uri.starts_with("/heard?"))
        };
        lines.into_iter().find(heard)
    })
    .await;
    assert_eq!(heard["requestUri"], "/heard?gr%C3%BC%C3%9Fe");
    let tunnels = edge.admin_page("/api/v1/tunnels");
    assert!(tunnels.contains("\"id\""), "{tunnels}");
    drop(_browser);
    let is_tunnel = |line: &Value| line["upgrade"] == "websocket";
    let tunnel = eventually("the tunnel ends with the browser", || {
        edge.log().into_iter().find(is_tunnel)
    })
    .await;
    assert_eq!(tunnel["httpVersion"], "HTTP/2", "{tunnel}");
    assert_eq!(tunnel["httpStatusCode"], 200);
    assert_eq!(tunnel["clientPort"], heard["clientPort"]);
}

#[tokio::test]
async fn a_handshake_of_http_1_1_still_works_beside_http_2() {
    let target = Target::named("target").await;
    let edge = start(&target, "").await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert_eq!(status(&client.head().await), 101);
    client.say_hi().await;
}
