//! Which address is the client's: what a trusted proxy tells in `X-Forwarded-For`, and nobody
//! else.

use std::net::{Ipv6Addr, SocketAddr};

use crate::harness::client::{handshake, header};
use crate::harness::edge::body_of;
use crate::harness::{Config, Connection, Edge, Target};
use crate::proxy_protocol::{CLIENT, GET, V1, with};

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
