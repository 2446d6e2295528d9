//! Targets are told of the client in the PROXY protocol, where they want it.

use std::net::SocketAddr;

use crate::harness::client::{CLOSE, HANDSHAKE, header};
use crate::harness::target::{ok, refusing, switching_protocols};
use crate::harness::{Authority, Config, Connection, Edge, Haproxy, Target};
use crate::proxy_protocol::{CLIENT, ENDS, FROM_HERE, GET, SIGNATURE, V1, v2, with_tls};

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
