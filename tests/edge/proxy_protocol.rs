//! Who the client is, when a load balancer in front says so in the PROXY protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::harness::client::{HANDSHAKE, HI, header};
use crate::harness::edge::body_of;
use crate::harness::{Authority, Config, Connection, Edge, Haproxy, Target, eventually, soon};

pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
pub const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
pub const V1: &str = "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
pub const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
pub const ENDS: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB];
/// Keys of a forwarding rule.
pub const FROM_HERE: &str = "proxyProtocol: {from: [127.0.0.1]}";

pub fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, payload].concat()
}

/// A configuration with more keys for its forwarding rule.
pub fn with(keys: &str, targets: &[SocketAddr]) -> Config {
    Config::forwarding_to(targets).rule(keys)
}

/// An edge that wants the PROXY protocol from 127.0.0.1, and answers 127.0.0.2, the client behind
/// HAProxy, and 192.0.2.1, the one of the headers here, by itself at /static.
async fn behind_a_load_balancer(target: &Target) -> Edge {
    let rule =
        "{name: static, type: STATIC, statusCode: 200, responseMessage: for you, conditions: [
        {type: SOURCE_IP, value: 127.0.0.2}, {type: PATH, condition: EQUALS, value: /static}]}";
    Edge::start(&with(FROM_HERE, &[target.address]).http_rules(rule)).await
}

#[tokio::test]
async fn the_client_behind_haproxy_is_the_client_for_rules_log_and_target() {
    for version in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"] {
        let target = Target::showing().await;
        let edge = behind_a_load_balancer(&target).await;
        let haproxy = Haproxy::in_front_of(edge.address, version).await;

        let mut client = Connection::open_from(CLIENT, haproxy.address).await;
        let port = client.stream.local_addr().unwrap().port();
        client.send(GET.replace(" / ", " /static ")).await;
        assert_eq!(client.answer_to_end().await.text(), "for you", "{version}");
        let line = edge.log_line().await;
        assert_eq!(line["clientIp"], CLIENT.to_string());
        assert_eq!(line["clientPort"], port);

        let mut client = Connection::open_from(CLIENT, haproxy.address).await;
        client.send(GET).await;
        let answer = client.answer_to_end().await;
        assert_eq!(header(answer.text(), "x-forwarded-for"), Some("127.0.0.2"));
    }
}

#[tokio::test]
async fn a_tunnel_through_haproxy_bears_the_clients_address() {
    let target = Target::named("target").await;
    let edge = behind_a_load_balancer(&target).await;
    let haproxy = Haproxy::in_front_of(edge.address, "send-proxy-v2").await;
    let mut client = Connection::open_from(CLIENT, haproxy.address).await;
    let port = client.stream.local_addr().unwrap().port();
    client.send(HANDSHAKE).await;
    client.head().await;
    client.say_hi().await;

    let open = body_of(&edge.admin_page("/api/v1/tunnels"));
    assert_eq!(open["tunnels"][0]["clientIp"], CLIENT.to_string());
    assert_eq!(open["tunnels"][0]["clientPort"], port);
    client.leave(1000).await;
    let line = edge.log_line().await;
    assert_eq!(line["clientIp"], CLIENT.to_string());
    assert_eq!(line["clientPort"], port);
}

#[tokio::test]
async fn a_header_the_handshake_and_a_frame_may_come_in_one_packet() {
    let target = Target::mirror().await;
    let edge = behind_a_load_balancer(&target).await;
    for header in [V1.as_bytes().to_vec(), v2(0x21, 0x11, &ENDS)] {
        let mut client = edge.connect().await;
        client
            .send([&header, HANDSHAKE.as_bytes(), &HI].concat())
            .await;
        client.head().await;
        assert_eq!(client.exactly(HI.len()).await, HI);
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let target = Target::answering("hello").await;
    let edge = behind_a_load_balancer(&target).await;
    for (number, header) in [V1.as_bytes().to_vec(), v2(0x21, 0x11, &ENDS)]
        .into_iter()
        .enumerate()
    {
        let mut client = edge.connect().await;
        for byte in header.iter().chain(GET.as_bytes()) {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer_to_end().await.text(), "hello");
        let line = edge.log_lines(number + 1).await.remove(number);
        assert_eq!(line["clientIp"], "192.0.2.1");
        assert_eq!(line["clientPort"], 4711);
        assert_eq!(line["requestHeaderBytes"], GET.len());
    }
}

#[tokio::test]
async fn a_header_that_names_nobody_leaves_the_address_as_it_is() {
    let target = Target::answering("hello").await;
    let edge = behind_a_load_balancer(&target).await;
    let headers = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &ENDS),
        v2(0x21, 0x00, &[]),
    ];
    let count = headers.len();
    for header in headers {
        let mut client = edge.connect().await;
        client.send([&header, GET.as_bytes()].concat()).await;
        assert_eq!(client.answer_to_end().await.text(), "hello", "{header:?}");
    }
    for line in edge.log_lines(count).await {
        assert_eq!(line["clientIp"], "127.0.0.1");
    }
}

#[tokio::test]
async fn a_connection_without_a_valid_header_is_closed_counted_and_logged() {
    let target = Target::answering("hello").await;
    let edge = behind_a_load_balancer(&target).await;
    let missing = "no header of the PROXY protocol";
    let malformed = "the PROXY protocol's header is malformed";
    let too_long = "the PROXY protocol's header is too long";
    let not_tcp = "the PROXY protocol's header is not of a TCP connection";
    let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
    let table = [
        (GET.as_bytes().to_vec(), missing),
        (HANDSHAKE.as_bytes().to_vec(), missing),
        (V1.replace("443", "70000").into_bytes(), malformed),
        (V1.replace("TCP4", "TCP6").into_bytes(), malformed),
        (long.into_bytes(), too_long),
        ([b"\r\n\r\n\0\r\nQUIT\r", &ENDS[..]].concat(), missing),
        (v2(0x31, 0x11, &ENDS), malformed),
        (v2(0x21, 0x21, &ENDS), malformed),
        (v2(0x21, 0x12, &ENDS), not_tcp),
        (v2(0x21, 0x11, &[0; 5000]), too_long),
    ];
    for (number, (bytes, fault)) in table.iter().enumerate() {
        let mut client = edge.connect().await;
        client.send(bytes).await;
        assert_eq!(client.to_end().await, b"", "{bytes:?}");
        let line = edge.log_lines(number + 1).await.remove(number);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["error"], *fault, "{bytes:?}");
        assert_eq!(line["clientIp"], "127.0.0.1");
        assert_eq!(line.get("httpStatusCode"), None);
        assert!(line["requestHeaderBytes"].as_u64().unwrap() <= bytes.len() as u64);
    }
    edge.refused("proxy_protocol", table.len()).await;
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_header_that_breaks_off_is_refused() {
    let target = Target::answering("hello").await;
    let edge = behind_a_load_balancer(&target).await;
    for (number, whole) in [V1.as_bytes().to_vec(), v2(0x21, 0x11, &ENDS)]
        .iter()
        .enumerate()
    {
        let mut client = edge.connect().await;
        client.send(&whole[..20]).await;
        client.finish().await;
        assert_eq!(client.to_end().await, b"");
        let line = edge.log_lines(number + 1).await.remove(number);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["requestHeaderBytes"], 20);
        let error = "closed before the PROXY protocol's header was complete";
        assert_eq!(line["error"], error);
    }
}

#[tokio::test]
async fn a_header_has_the_client_timeout() {
    let target = Target::answering("hello").await;
    let edge = behind_a_load_balancer(&target).await;
    let began = Instant::now();
    let (mut silent, mut slow) = (edge.connect().await, edge.connect().await);
    slow.send("PROXY ").await;
    assert_eq!(silent.to_end().await, b"");
    assert_eq!(slow.to_end().await, b"");
    assert!(began.elapsed() >= Duration::from_secs(2));
    let line = edge.log_line().await;
    let error = "the PROXY protocol's header did not arrive within clientTimeout";
    assert_eq!(
        (&line["error"], &line["closeReason"]),
        (&error.into(), &"refused".into())
    );
    edge.refused("proxy_protocol", 2).await;
}

#[tokio::test]
async fn whoever_only_looks_whether_somebody_listens_is_not_counted() {
    let target = Target::answering("hello").await;
    let edge = behind_a_load_balancer(&target).await;
    let mut client = edge.connect().await;
    client.finish().await;
    assert_eq!(client.to_end().await, b"");
    let active = || edge.metric("connections_active{forwarding_rule=\"edge\"}");
    eventually("it is gone", || (active() == 0.0).then_some(())).await;
    assert_eq!(
        (edge.refusals("proxy_protocol"), edge.log().len()),
        (0.0, 0)
    );
}

#[tokio::test]
async fn a_header_from_anybody_else_is_a_malformed_request() {
    let target = Target::answering("hello").await;
    let edge = behind_a_load_balancer(&target).await;
    let headers = [V1.as_bytes().to_vec(), v2(0x21, 0x11, &ENDS)];
    for (number, header) in headers.into_iter().enumerate() {
        let mut client = Connection::open_from(CLIENT, edge.address).await;
        client.send([&header, GET.as_bytes()].concat()).await;
        let answer = client.answer_to_end().await;
        assert_eq!(answer.status, 400);
        let line = edge.log_lines(number + 1).await.remove(number);
        assert_eq!(line["error"], "malformed request head");
        assert_eq!(line["clientIp"], CLIENT.to_string());
    }
    let mut client = Connection::open_from(CLIENT, edge.address).await;
    client.send(GET).await;
    assert_eq!(client.answer_to_end().await.text(), "hello");
    assert_eq!(edge.refusals("proxy_protocol"), 0.0);
}

#[tokio::test]
async fn a_connection_that_waits_for_its_header_does_not_hold_up_a_drain() {
    let target = Target::answering("hello").await;
    let configuration = with(FROM_HERE, &[target.address]);
    let edge = Edge::start(&configuration.rule("clientTimeout: 50s")).await;
    let mut client = edge.connect().await;
    let active = || edge.metric("connections_active{forwarding_rule=\"edge\"}");
    eventually("it is there", || (active() == 1.0).then_some(())).await;
    let (status, lines) = soon("the end", edge.terminate()).await;
    assert!(status.success());
    assert_eq!((client.to_end().await, lines.len()), (Vec::new(), 0));
}

/// The configuration with TLS, and a certificate for a.example, on its forwarding rule.
pub fn with_tls(authority: &Authority, configuration: Config) -> Config {
    authority.issue("one", &["a.example"]);
    configuration.tls(authority, &["one"])
}

#[tokio::test]
async fn a_header_comes_before_the_tls_handshake() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    let configuration = with_tls(&authority, with(FROM_HERE, &[target.address]));
    let edge = Edge::start(&configuration).await;
    for version in ["send-proxy", "send-proxy-v2"] {
        let haproxy = Haproxy::in_front_of(edge.address, version).await;
        let mut client = authority.tunnel(haproxy.address, "a.example").await;
        let port = client.stream.get_ref().0.local_addr().unwrap().port();
        client.say_hi().await;
        let open = body_of(&edge.admin_page("/api/v1/tunnels"));
        assert_eq!(open["tunnels"][0]["clientPort"], port, "{version}");
        client.leave(1000).await;
        client.to_end().await;
        let gone = || body_of(&edge.admin_page("/api/v1/tunnels"))["total"] == 0;
        eventually("the tunnel is gone", || gone().then_some(())).await;
    }
}
