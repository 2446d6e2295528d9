//! Connections to targets in TLS: how they begin, who shares one, and who must not. One target is
//! HAProxy.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use crate::harness::target::switching_protocols;
use crate::harness::tls::{TARGET_HOST as HOST, over_tls, trusting};
use crate::harness::{Authority, Config, Connection, Edge, Haproxy, Target, eventually};
use crate::target_tls::{connect_errors, edge_before, refused_handshake};

/// Long enough for a slow machine, and too short for any other timeout.
const LATEST: Duration = Duration::from_secs(10);

#[tokio::test]
async fn connections_to_targets_in_tls_are_kept_for_the_next_request() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let target = authority.serving("one").await;
    let edge = edge_before(&authority, "{}", &target).await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.text(), "hello");
    }
    assert_eq!(target.connections(), 1);
    let lines = edge.log_lines(5).await;
    assert!(lines[0].get("targetConnectMs").is_some());
    assert!(lines[4].get("targetConnectMs").is_none());
    // Health checks say nothing, and are content with a connection.
    let healthy = format!(
        "target_healthy{{target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    let checks = format!(
        "health_checks_total{{result=\"passed\",target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    eventually("checks have passed", || {
        (edge.metric(&checks) > 2.0).then_some(())
    })
    .await;
    assert_eq!(edge.metric(&healthy), 1.0);
}

#[tokio::test]
async fn groups_that_trust_others_share_no_connection() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &[HOST]);
    let target = authority.serving("one").await;
    let address = target.address;
    let file = |authority: &Authority| authority.file("ca.crt").display().to_string();
    let others = [
        ("lax", "verifyCertificate: false".to_owned()),
        (
            "strange",
            format!("serverName: {HOST}, caFile: {}", file(&stranger)),
        ),
        (
            "other",
            format!("serverName: other.example, caFile: {}", file(&authority)),
        ),
    ];
    let add = |config: Config, (name, keys): (&str, String)| {
        let rule = format!(
            "{{name: {name}, type: FORWARD, targetGroup: {name},
                conditions: [{{type: PATH, condition: EQUALS, value: /{name}}}]}}"
        );
        let group = config.http_rules(&rule).add_group(name);
        group
            .group("protocol: HTTPS")
            .group(&keys)
            .target(address, "")
    };
    let one = over_tls(&trusting(&authority), &[address]);
    let edge = Edge::start(&others.into_iter().fold(one, add)).await;
    for _ in 0..2 {
        for (path, status) in [
            ("/", 200),
            ("/lax", 200),
            ("/strange", 503),
            ("/other", 503),
        ] {
            assert_eq!(edge.get(path).await.status, status, "{path}");
        }
    }
    let certificate = |line: &serde_json::Value| line["error"].as_str().map(str::to_owned);
    let errors: Vec<_> = edge
        .log_lines(8)
        .await
        .iter()
        .filter_map(certificate)
        .collect();
    let (issuer, name) = (
        "target certificate: unknown issuer",
        "target certificate: wrong name",
    );
    assert_eq!(errors, [issuer, name, issuer, name]);
}

#[tokio::test]
async fn a_reload_with_another_authority_uses_no_connection_that_the_old_one_vouched_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &[HOST]);
    let target = authority.serving("one").await;
    let own = authority.file("ca.crt");
    let own_text = std::fs::read(&own).unwrap();
    let configuration = over_tls(&trusting(&authority), &[target.address]);
    let edge = Edge::start(&configuration).await;
    let (mut client, _) = edge.tunnel().await;
    assert_eq!(edge.get("/").await.status, 200);

    // Another authority in the same file.
    std::fs::copy(stranger.file("ca.crt"), &own).unwrap();
    edge.reload(&configuration).await;
    assert_eq!(edge.get("/").await.status, 503);
    assert_eq!(refused_handshake(&edge).await.status, 503);
    client.say_hi().await;

    std::fs::remove_file(&own).unwrap();
    edge.signal("HUP");
    let rejected = "config_reloads_total{result=\"rejected\"}";
    let is_rejected = || (edge.metric(rejected) == 1.0).then_some(());
    eventually("it is rejected", is_rejected).await;
    let told = format!("caFile: {}: cannot be read: No such file", own.display());
    edge.says(&told).await;

    std::fs::write(&own, own_text).unwrap();
    edge.reload(&configuration).await;
    let connections = target.connections();
    assert_eq!(edge.get("/").await.status, 200);
    // With the same authority as at first the connection of then is as good.
    assert_eq!(target.connections(), connections);
    client.say_hi().await;
}

#[tokio::test]
async fn the_connect_timeout_is_for_the_connection_and_its_tls_together() {
    let authority = Authority::new();
    let silent = Target::scripted(async |_connection: Connection| std::future::pending().await);
    let silent = silent.await;
    let configuration = over_tls(&trusting(&authority), &[silent.address]);
    let edge = Edge::start(&configuration.group("connectTimeout: 300")).await;
    for is_tunnel in [false, true] {
        let began = Instant::now();
        let answer = match is_tunnel {
            true => refused_handshake(&edge).await,
            false => edge.get("/").await,
        };
        let took = began.elapsed();
        assert_eq!(answer.status, 503);
        assert!(
            took >= Duration::from_millis(300) && took < LATEST,
            "{took:?}"
        );
    }
    assert_eq!(connect_errors(&edge, silent.address), 2.0);
}

#[tokio::test]
async fn the_header_of_the_proxy_protocol_comes_before_the_tls() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let read = |name| std::fs::read_to_string(authority.file(name)).unwrap();
    std::fs::write(
        authority.file("one.pem"),
        read("one.crt") + &read("one.key"),
    )
    .unwrap();
    let options = format!("ssl crt {}", authority.file("one.pem").display());
    let haproxy = Haproxy::hearing_of_clients(&options).await;
    let announcing = |target| {
        over_tls(&trusting(&authority), &[target])
            .group("protocolVersion: HTTP2")
            .each_target("proxyProtocol: v1")
    };
    let edge = Edge::start(&announcing(haproxy.address)).await;
    for _ in 0..2 {
        let mut client = edge.connect().await;
        let from = client.stream.local_addr().unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(
            client.answer().await.text(),
            format!("{from} {}", edge.address)
        );
    }

    let acceptor = authority.acceptor("one");
    let target = Target::scripted(move |mut connection: Connection| {
        let acceptor = acceptor.clone();
        async move {
            let mut header = String::new();
            while !header.ends_with("\r\n") {
                header.push(connection.stream.read_u8().await.unwrap().into());
            }
            let mut connection =
                Connection::over(acceptor.accept(connection.stream).await.unwrap());
            let head = connection.head().await;
            connection.send(switching_protocols(&head)).await;
            connection.send(header).await;
            connection.to_end().await;
        }
    })
    .await;
    edge.reload(&announcing(target.address)).await;
    let (mut client, _) = edge.tunnel().await;
    let from = client.stream.local_addr().unwrap();
    let expected = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
        from.port(),
        edge.address.port()
    );
    assert_eq!(client.exactly(expected.len()).await, expected.as_bytes());
}
