//! Who may speak HTTP/2, with and without TLS, and who goes on in HTTP/1.1. The clients are h2,
//! curl and nghttp.

use http::Request;
use tokio::process::Command;

use crate::harness::client::{HANDSHAKE, status};
use crate::harness::http2::{Http2, SETTINGS, frame, start, websocket};
use crate::harness::tls::{HOST, start as start_tls};
use crate::harness::{Authority, Edge, Target, soon};

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
    let refused = edge.refusals("connect_method");
    assert_eq!(refused, 2.0);
    assert_eq!(target.connections(), 1);
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
async fn a_handshake_of_http_1_1_still_works_beside_http_2() {
    let target = Target::named("target").await;
    let edge = start(&target, "").await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert_eq!(status(&client.head().await), 101);
    client.say_hi().await;
}
