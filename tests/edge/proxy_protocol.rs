//! Who the client is, when it comes through others: the PROXY protocol and `X-Forwarded-For` in
//! front, and the PROXY protocol to targets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::harness::client::{CLOSE, HANDSHAKE, HI, handshake, header};
use crate::harness::edge::body_of;
use crate::harness::target::{ok, refusing, switching_protocols};
use crate::harness::{Authority, Config, Connection, Edge, Haproxy, Target, eventually, soon};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const V1: &str = "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const ENDS: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB];
const REFUSALS: &str = "refusals_total{forwarding_rule=\"edge\",reason=\"proxy_protocol\"}";
/// Keys of a forwarding rule.
const FROM_HERE: &str = "proxyProtocol: {from: [127.0.0.1]}";

fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, payload].concat()
}

/// A configuration with more keys for its forwarding rule.
fn with(keys: &str, targets: &[SocketAddr]) -> Config {
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
    edge.metric_becomes(REFUSALS, table.len() as f64).await;
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
    edge.metric_becomes(REFUSALS, 2.0).await;
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
    assert_eq!((edge.metric(REFUSALS), edge.log().len()), (0.0, 0));
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
    assert_eq!(edge.metric(REFUSALS), 0.0);
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

#[tokio::test]
async fn a_trusted_proxy_tells_where_a_request_comes_from() {
    let target = Target::showing().await;
    let keys = "trustedProxies: [127.0.0.1, 10.0.0.0/8]";
    let edge = Edge::start(&with(keys, &[target.address])).await;
    let forwarded = "X-Forwarded-For: 203.0.113.1, 192.0.2.1\r\nX-Forwarded-For: 10.0.0.1\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: other\r\nForwarded: for=203.0.113.1\r\n\r\n";
    let request = GET.replace("\r\n\r\n", &format!("\r\n{forwarded}"));

    let shown = edge.request(&request).await;

    let shown = shown.text();
    let all = "203.0.113.1, 192.0.2.1, 10.0.0.1, 127.0.0.1";
    assert_eq!(header(shown, "x-forwarded-for"), Some(all));
    assert_eq!(shown.to_lowercase().matches("x-forwarded-for").count(), 1);
    assert_eq!(header(shown, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(shown, "x-forwarded-host"), Some("a"));
    let all = "for=203.0.113.1, for=127.0.0.1";
    assert_eq!(header(shown, "forwarded"), Some(all));
    let line = edge.log_line().await;
    assert_eq!(line["clientIp"], "192.0.2.1");
    assert_eq!(line.get("clientPort"), None);

    let shown = edge.request(GET).await;
    assert_eq!(header(shown.text(), "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(shown.text(), "x-forwarded-proto"), Some("http"));
    let line = edge.log_lines(2).await.remove(1);
    assert_eq!(line["clientIp"], "127.0.0.1");
    assert!(line["clientPort"].is_u64());
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let target = Target::showing().await;
    let keys = "trustedProxies: [127.0.0.1]";
    let edge = Edge::start(&with(keys, &[target.address])).await;
    let forwarded = "\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n";
    let mut client = Connection::open_from(CLIENT, edge.address).await;
    client.send(GET.replace("\r\n\r\n", forwarded)).await;
    let shown = client.answer_to_end().await;
    assert_eq!(header(shown.text(), "x-forwarded-for"), Some("127.0.0.2"));
    assert_eq!(header(shown.text(), "x-forwarded-proto"), Some("http"));
    assert_eq!(edge.log_line().await["clientIp"], "127.0.0.2");
}

#[tokio::test]
async fn source_ip_conditions_and_tunnels_go_by_the_address_that_a_trusted_proxy_tells() {
    let target = Target::named("target").await;
    let keys = "proxyProtocol: {from: [127.0.0.1]}, trustedProxies: [192.0.2.1]";
    let rule = "{name: ban, type: STATIC, statusCode: 403, responseMessage: 'no',
        conditions: [{type: SOURCE_IP, value: 203.0.113.7}]}";
    let edge = Edge::start(&with(keys, &[target.address]).http_rules(rule)).await;
    let handshake = |client: &str| {
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        format!("{V1}{}", handshake("/chat", &forwarded))
    };
    let mut banned = edge.connect().await;
    banned.send(handshake("203.0.113.7")).await;
    assert_eq!(banned.answer().await.status, 403);
    let mut client = edge.connect().await;
    client.send(handshake("2001:db8::7")).await;
    client.head().await;
    client.say_hi().await;
    let open = body_of(&edge.admin_page("/api/v1/tunnels"));
    assert_eq!(open["tunnels"][0]["clientIp"], "2001:db8::7");
    assert_eq!(open["tunnels"][0].get("clientPort"), None);
}

/// A configuration for targets that want the PROXY protocol.
fn announcing(version: &str, targets: &[SocketAddr]) -> Config {
    let announcing = format!("proxyProtocol: {version}");
    Config::forwarding_to(targets).each_target(&announcing)
}

#[tokio::test]
async fn haproxy_as_a_target_hears_of_the_client() {
    for version in ["v1", "v2", "v2ssl"] {
        let target = Haproxy::hearing_of_clients("").await;
        let edge = Edge::start(&announcing(version, &[target.address])).await;
        let mut client = Connection::open_from(CLIENT, edge.address).await;
        let address = client.stream.local_addr().unwrap();
        client.send(GET).await;
        let told = client.answer_to_end().await;
        let expected = format!("{address} {}", edge.address);
        assert_eq!(told.text(), expected, "{version}");
    }
}

/// A target that reads a header of the PROXY protocol of this length before each first request.
async fn hearing(length: usize) -> Target {
    Target::scripted(move |mut connection: Connection| async move {
        let told = connection.exactly(length).await;
        while connection.has_more().await {
            let head = connection.head().await;
            if header(&head, "upgrade").is_none() {
                connection.send(ok(&format!("{told:?}"))).await;
                continue;
            }
            connection.send(switching_protocols(&head)).await;
            let length = u8::try_from(told.len()).unwrap();
            connection.send([&[0x82, length], &told[..]].concat()).await;
            return connection.echo_messages().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_tunnel_begins_with_the_header_and_so_does_every_request_on_a_connection_of_its_own() {
    let ssl = [0x20, 0, 5, 0, 0, 0, 0, 1];
    for (version, tail) in [("v2", &[][..]), ("v2ssl", &ssl)] {
        let length = SIGNATURE.len() + 4 + ENDS.len() + tail.len();
        let target = hearing(length).await;
        let edge = Edge::start(&announcing(version, &[target.address])).await;
        let mut client = edge.connect().await;
        let (from, to) = (client.stream.local_addr().unwrap(), edge.address);
        let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        let ends = [&[127, 0, 0, 1, 127, 0, 0, 1], &ports[..], tail].concat();
        let expected = v2(0x21, 0x11, &ends);

        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.answer().await.text(), format!("{expected:?}"));
        }
        assert_eq!(target.connections(), 2, "{version}");
        client.send(HANDSHAKE).await;
        client.head().await;
        assert_eq!(client.frame().await, Some((2, expected)));
        client.say_hi().await;
        client.leave(1000).await;
        assert!(matches!(client.frame().await, Some((CLOSE, _))));
        let line = edge.log_lines(3).await.remove(2);
        assert_eq!(line["closeReason"], "client_closed");
    }
}

#[tokio::test]
async fn what_a_load_balancer_tells_is_told_to_the_target() {
    let target = hearing(V1.len()).await;
    let configuration = announcing("v1", &[target.address]);
    let edge = Edge::start(&configuration.rule(FROM_HERE)).await;
    let told = edge.request(&format!("{V1}{GET}")).await;
    assert_eq!(told.text(), format!("{:?}", V1.as_bytes()));
}

#[tokio::test]
async fn a_target_that_refuses_the_connection_is_passed_over_with_the_header_too() {
    let target = hearing(V1.len()).await;
    let configuration = announcing("v1", &[refusing(), target.address]);
    let configuration = configuration.group("healthCheck: {checkInterval: 60s}");
    let edge = Edge::start(&configuration.rule(FROM_HERE)).await;
    for _ in 0..4 {
        let told = edge.request(&format!("{V1}{GET}")).await;
        assert_eq!(told.text(), format!("{:?}", V1.as_bytes()));
    }
}

#[tokio::test]
async fn an_ipv4_client_of_a_listener_for_both_families_is_an_ipv4_client() {
    let both = Config::answering("hello").rule("listenerIp: '::', v6only: false");
    let edge = Edge::start(&both).await;
    let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, edge.address.port()));
    for (number, address) in [edge.address, ipv6].into_iter().enumerate() {
        let mut client = Connection::open(address).await;
        client.send(GET).await;
        assert_eq!(client.answer_to_end().await.text(), "hello");
        let line = edge.log_lines(number + 1).await.remove(number);
        assert_eq!(line["clientIp"], address.ip().to_string());
    }
    edge.reload(&both.rule("v6only: true")).await;
    edge.says("forwardingRules[0].v6only stays as it is").await;
}

/// The configuration with TLS, and a certificate for a.example, on its forwarding rule.
fn with_tls(authority: &Authority, configuration: Config) -> Config {
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

#[tokio::test]
async fn a_target_hears_of_a_clients_tls() {
    let authority = Authority::new();
    let cipher = "TLS_AES_256_GCM_SHA384";
    let length = SIGNATURE.len() + 4 + ENDS.len() + 8 + 10 + 3 + cipher.len();
    let target = hearing(length).await;
    let configuration = with_tls(&authority, announcing("v2ssl", &[target.address]));
    let edge = Edge::start(&configuration).await;
    let mut client = authority.connect(edge.address, "a.example").await;
    client.send(GET).await;
    let told = client.answer().await;
    let ssl = [
        &[0x20, 0, 40, 1, 0, 0, 0, 1, 0x21, 0, 7][..],
        b"TLSv1.3",
        &[0x23, 0, 22],
        cipher.as_bytes(),
    ]
    .concat();
    let listed = format!("{ssl:?}");
    assert!(
        told.text().ends_with(listed.trim_start_matches('[')),
        "{} {listed}",
        told.text()
    );
    assert_eq!(edge.log_line().await["tlsCipher"], cipher);
}
